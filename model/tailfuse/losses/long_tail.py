"""How a head learns from unequal classes: our experts, and the methods they are compared with.

Each method says what a row costs if it belongs to class c, for every c, and what its logits answer. The
loss is the expectation of these costs over the target: for a hard target the published formula, for a
mixed one (mixup) the mix of the losses.

Letters: E classifiers on one embedding, C classes, n_c training rows of class c.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from tailfuse.data.classes import assign_shots
from tailfuse.errors import SpecError
from tailfuse.losses.experts import adjustments, aggregate
from tailfuse.spelling import did_you_mean

BETA = 0.9999  # for fewer than a thousand rows of a class all but the inverse of their number
FOCUS = 2.0  # gamma of the focal loss
LARGEST_MARGIN, SCALE, REWEIGHTED_FROM = 0.5, 30.0, 0.8  # LDAM-DRW: epoch 160 of 200
BRANCHES = 0.99  # ResLT's share of the branches' own losses, at an imbalance ratio of 50

Costs = Callable[[Tensor, float], Tensor]
Answer = Callable[[Tensor], Tensor]


class LongTail(NamedTuple):
    """How a head learns from unequal classes, and how its logits answer."""

    n_experts: int  # E
    costs: Costs  # logits (..., E, C), progress -> (..., C): a row's loss for each class it may have
    answer: Answer  # logits (..., E, C) -> log-probabilities (..., C)
    settled: float = 0.0  # from this share of the training on, the costs stay what they are
    cosine: bool = False  # logits must be cosines of embedding and class vector, without a bias

    def loss(self, logits: Tensor, target: Tensor, progress: float) -> Tensor:
        """(..., E, C), probabilities (..., C), share of the training done 0..1 -> (...)"""
        return (target * self.costs(logits, progress)).sum(-1)

    def experts(self, logits: Tensor) -> Tensor:
        """What they say free of the training prior: each expert (..., E, C), or all as one (..., 1, C)."""
        return logits if self.answer is aggregate else self.answer(logits).unsqueeze(-2)


def long_tail(name: str, counts: Tensor, taus: Sequence[float]) -> LongTail:
    """The method called `name` for classes of these training counts (C,); `taus` are the experts'.

    Raises SpecError.
    """
    counts = counts.float()
    if name == "experts":
        return experts(counts, taus)
    if name not in BASELINES:
        known = ("experts", *BASELINES)
        raise SpecError(f"network.loss: '{name}' is none of {', '.join(known)}{did_you_mean(name, known)}")
    return BASELINES[name](counts)


def experts(counts: Tensor, taus: Sequence[float]) -> LongTail:
    """Ours: expert e adds tau_e log(prior) to its logits while it learns; see losses/experts.py."""
    adjustment = adjustments(counts / counts.sum(), taus)

    def costs(logits: Tensor, progress: float) -> Tensor:
        return -log_p(logits + adjustment.to(logits.device)).mean(-2)

    return LongTail(len(taus), costs, aggregate)


def cross_entropy(counts: Tensor) -> LongTail:
    """-log p_c"""
    return LongTail(1, lambda logits, progress: -log_p_of_one(logits), log_p_of_one)


def class_balanced(counts: Tensor) -> LongTail:
    """Weighted by the inverse of the effective number of rows (Cui et al. 2019): -w_c log p_c"""
    weights = effective_weights(counts)
    return LongTail(
        1, lambda logits, progress: -weights.to(logits.device) * log_p_of_one(logits), log_p_of_one
    )


def focal(counts: Tensor) -> LongTail:
    """Rows that are learnt already count less (Lin et al. 2017, eq. 4): -(1 - p_c)^gamma log p_c"""

    def costs(logits: Tensor, progress: float) -> Tensor:
        own = log_p_of_one(logits)
        return -((1 - own.exp()) ** FOCUS) * own

    return LongTail(1, costs, log_p_of_one)


def ldam_drw(counts: Tensor) -> LongTail:
    """Margins that are wider for rare classes, and weights for these late in training (Cao et al. 2019).

    The cost of class c is the cross-entropy of scale * (cos - margin_c at c), with margins in proportion to
    n_c^(-1/4). The authors' code divides a batch's loss by the sum of its weights; here the weights have
    mean 1 over the training rows.
    """
    margins = counts.double() ** -0.25
    margins = SCALE * LARGEST_MARGIN * margins / margins.max()
    weights = effective_weights(counts)
    weights = weights * counts.sum() / (counts * weights).sum()

    def costs(logits: Tensor, progress: float) -> Tensor:
        # The margin changes one term of the softmax's sum, p_c, to p_c exp(-margin). In double precision:
        # with p near 1 this sum is as small as exp(-15).
        margin = margins.to(logits.device)
        own = log_p_of_one(SCALE * logits.double())
        total = torch.log1p(own.exp() * torch.expm1(-margin))
        cost = (total + margin - own).to(logits.dtype)
        return cost * weights.to(logits.device) if progress >= REWEIGHTED_FROM else cost

    return LongTail(1, costs, lambda logits: log_p_of_one(SCALE * logits), REWEIGHTED_FROM, cosine=True)


def balanced_softmax(counts: Tensor) -> LongTail:
    """-log of the softmax of logits + log n (Ren et al. 2020); nothing is added to the answer.

    This is the loss of logit adjustment (Menon et al. 2021, eq. 10) with tau 1 too.
    """
    log_counts = counts.log()
    return LongTail(
        1, lambda logits, progress: -log_p_of_one(logits + log_counts.to(logits.device)), log_p_of_one
    )


def logit_adjustment(counts: Tensor) -> LongTail:
    """Cross-entropy, and the log prior taken from the logits when answering (Menon et al. 2021, eq. 9)."""
    log_prior = (counts / counts.sum()).log()
    return LongTail(
        1,
        lambda logits, progress: -log_p_of_one(logits),
        lambda logits: log_p_of_one(logits - log_prior.to(logits.device)),
    )


def abc(counts: Tensor) -> LongTail:
    """An auxiliary balanced classifier (Lee et al. 2021): the first learns from every row, the second, which
    answers, from a row of class c with probability n_min / n_c.

    The paper's consistency regularisation is of unlabelled rows, which there are none of here.
    """
    kept = counts.min() / counts

    def costs(logits: Tensor, progress: float) -> Tensor:
        drawn = torch.rand((*logits.shape[:-2], 1), device=logits.device)
        every, balanced = log_p(logits).unbind(-2)
        return -every - balanced * (drawn < kept.to(logits.device))

    return LongTail(2, costs, lambda logits: log_p(logits[..., 1, :]))


def reslt(counts: Tensor) -> LongTail:
    """Residual learning (Cui et al. 2022): three branches whose logits are summed; one learns from rows of
    all classes, one from medium and few, one from few.

    The authors divide the branches' losses by the rows that a batch has for all three; here that is their
    number in training. Their branches are a scaled embedding each under one classifier; ours are linear
    classifiers, which can be the same.
    """
    seen = classes_by_expert(counts)
    share = float(counts.sum() / (seen * counts).sum())

    def costs(logits: Tensor, progress: float) -> Tensor:
        own = -(seen.to(logits.device) * log_p(logits)).sum(-2)
        fused = -log_p(logits.sum(-2))
        return BRANCHES * share * own + (1 - BRANCHES) * fused

    return LongTail(len(seen), costs, lambda logits: log_p(logits.sum(-2)))


def ace(counts: Tensor) -> LongTail:
    """Ally complementary experts (Cai et al. 2021): one for all classes, one for medium and few, one for few.

    Each learns from the rows of its classes, and to keep its other logits at 0; the mean logit of the
    experts that know a class answers. The paper's learning rate of an expert, in proportion to its rows, is
    what the mean over all rows of a batch makes of its gradient (AdamW undoes it but for shared layers).
    Its scaling of logits by the norms of the experts' weights is left out: an answer sees logits only.
    """
    seen = classes_by_expert(counts)

    def costs(logits: Tensor, progress: float) -> Tensor:
        own = seen.to(logits.device)
        suppressed = ((1 - own) * logits.square()).sum(-1, keepdim=True)
        return (own * (suppressed - log_p(logits))).sum(-2)

    def answer(logits: Tensor) -> Tensor:
        own = seen.to(logits.device)
        return log_p((own * logits).sum(-2) / own.sum(-2))

    return LongTail(len(seen), costs, answer)


BASELINES: dict[str, Callable[[Tensor], LongTail]] = {
    "cross_entropy": cross_entropy,
    "class_balanced": class_balanced,
    "focal": focal,
    "ldam_drw": ldam_drw,
    "balanced_softmax": balanced_softmax,
    "logit_adjustment": logit_adjustment,
    "abc": abc,
    "reslt": reslt,
    "ace": ace,
}


def log_p(logits: Tensor) -> Tensor:
    """(..., C) -> (..., C)"""
    return F.log_softmax(logits, dim=-1)


def log_p_of_one(logits: Tensor) -> Tensor:
    """The log-probabilities of the one classifier: (..., 1, C) -> (..., C)"""
    return log_p(logits.squeeze(-2))


def effective_weights(counts: Tensor) -> Tensor:
    """(1 - beta) / (1 - beta^n_c), scaled to sum to C: (C,) -> (C,)"""
    weights = -1 / torch.expm1(counts.double() * math.log(BETA))  # exact where beta^n is near 1
    return (len(counts) * weights / weights.sum()).to(counts.dtype)


def classes_by_expert(counts: Tensor) -> Tensor:
    """1 where an expert knows a class: all; medium and few; few. (C,) -> (3, C)"""
    shots = assign_shots(counts.tolist())
    groups = (("many", "medium", "few"), ("medium", "few"), ("few",))
    return torch.tensor([[float(shot in group) for shot in shots] for group in groups], dtype=counts.dtype)
