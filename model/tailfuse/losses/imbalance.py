"""Losses for imbalanced classes: that of our experts, and those of the methods they are compared with.

Each method defines the cost of a row for every class c that it may belong to, and the log-probabilities
that its logits predict. The loss is the expectation of these costs over the target: for a hard target the
published formula, for a mixed one (mixup) the mix of the losses.

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
from tailfuse.losses.experts import aggregate, compute_adjustments
from tailfuse.spelling import did_you_mean

BETA = 0.9999  # for fewer than a thousand rows of a class all but the inverse of their number
FOCUS = 2.0  # gamma of the focal loss
LARGEST_MARGIN, SCALE, REWEIGHTED_FROM = 0.5, 30.0, 0.8  # LDAM-DRW: epoch 160 of 200
INVERSE = 2.0  # SADE's tau
BRANCHES = 0.99  # ResLT's share of the branches' own losses, at an imbalance ratio of 50

Costs = Callable[[Tensor, float], Tensor]
Prediction = Callable[[Tensor], Tensor]


class ImbalanceLoss(NamedTuple):
    """The loss of a head's logits, and the prediction from them."""

    n_experts: int  # E
    costs: Costs  # logits (..., E, C), progress -> (..., C): a row's loss for each class it may have
    predict: Prediction  # logits (..., E, C) -> log-probabilities (..., C)
    last_change: float = 0.0  # share of the training after which the costs no longer change
    cosine: bool = False  # logits must be cosines of embedding and class vector, without a bias
    prior: Tensor | None = None  # class shares of the training rows: (C,)

    def __call__(self, logits: Tensor, target: Tensor, progress: float) -> Tensor:
        """Return each row's loss: (..., E, C), probabilities (..., C), share of the training done -> (...)"""
        return (target * self.costs(logits, progress)).sum(-1)

    def separate_experts(self, logits: Tensor) -> Tensor:
        """Return logits free of the training prior, of each expert (..., E, C) or of all (..., 1, C)."""
        return logits if self.predict is aggregate else self.predict(logits).unsqueeze(-2)


def make_loss(name: str, counts: Tensor, taus: Sequence[float]) -> ImbalanceLoss:
    """Make the loss called `name` for classes of these training counts (C,); `taus` are the experts'.

    Raises SpecError.
    """
    counts = counts.float()
    prior = counts / counts.sum()
    if name == "experts":
        return make_expert_loss(counts, taus)._replace(prior=prior)
    if name not in BASELINES:
        known = ("experts", *BASELINES)
        raise SpecError(f"network.loss: '{name}' is none of {', '.join(known)}{did_you_mean(name, known)}")
    return BASELINES[name](counts)._replace(prior=prior)


def make_expert_loss(counts: Tensor, taus: Sequence[float]) -> ImbalanceLoss:
    """Make ours: expert e adds tau_e log(prior) to its logits during training; see losses/experts.py."""
    adjustment = compute_adjustments(counts / counts.sum(), taus)

    def costs(logits: Tensor, progress: float) -> Tensor:
        return -log_softmax(logits + adjustment.to(logits.device)).mean(-2)

    return ImbalanceLoss(len(taus), costs, aggregate)


def make_cross_entropy(counts: Tensor) -> ImbalanceLoss:
    """-log p_c"""
    return ImbalanceLoss(1, lambda logits, progress: -log_softmax_single(logits), log_softmax_single)


def make_class_balanced(counts: Tensor) -> ImbalanceLoss:
    """Weighted by the inverse of the effective number of rows (Cui et al. 2019): -w_c log p_c"""
    weights = compute_effective_weights(counts)
    return ImbalanceLoss(
        1,
        lambda logits, progress: -weights.to(logits.device) * log_softmax_single(logits),
        log_softmax_single,
    )


def make_focal(counts: Tensor) -> ImbalanceLoss:
    """Rows with a high probability weigh less (Lin et al. 2017, eq. 4): -(1 - p_c)^gamma log p_c"""

    def costs(logits: Tensor, progress: float) -> Tensor:
        log_p = log_softmax_single(logits)
        return -((1 - log_p.exp()) ** FOCUS) * log_p

    return ImbalanceLoss(1, costs, log_softmax_single)


def make_ldam_drw(counts: Tensor) -> ImbalanceLoss:
    """Margins that are wider for rare classes, and weights for these late in training (Cao et al. 2019).

    The cost of class c is the cross-entropy of scale * (cos - margin_c at c), with margins in proportion to
    n_c^(-1/4). The authors' code divides a batch's loss by the sum of its weights; here the weights have
    mean 1 over the training rows.
    """
    margins = counts.double() ** -0.25
    margins = SCALE * LARGEST_MARGIN * margins / margins.max()
    weights = compute_effective_weights(counts)
    weights = weights * counts.sum() / (counts * weights).sum()

    def costs(logits: Tensor, progress: float) -> Tensor:
        # The margin changes one term of the softmax's sum, p_c, to p_c exp(-margin). In double precision:
        # with p near 1 this sum is as small as exp(-15).
        margin = margins.to(logits.device)
        log_p = log_softmax_single(SCALE * logits.double())
        total = torch.log1p(log_p.exp() * torch.expm1(-margin))
        cost = (total + margin - log_p).to(logits.dtype)
        return cost * weights.to(logits.device) if progress >= REWEIGHTED_FROM else cost

    return ImbalanceLoss(
        1, costs, lambda logits: log_softmax_single(SCALE * logits), REWEIGHTED_FROM, cosine=True
    )


def make_balanced_softmax(counts: Tensor) -> ImbalanceLoss:
    """-log of the softmax of logits + log n (Ren et al. 2020); nothing is added for the prediction.

    This is the loss of logit adjustment (Menon et al. 2021, eq. 10) with tau 1 too.
    """
    log_counts = counts.log()
    return ImbalanceLoss(
        1,
        lambda logits, progress: -log_softmax_single(logits + log_counts.to(logits.device)),
        log_softmax_single,
    )


def make_logit_adjustment(counts: Tensor) -> ImbalanceLoss:
    """Cross-entropy, and the log prior is subtracted for the prediction (Menon et al. 2021, eq. 9)."""
    log_prior = (counts / counts.sum()).log()
    return ImbalanceLoss(
        1,
        lambda logits, progress: -log_softmax_single(logits),
        lambda logits: log_softmax_single(logits - log_prior.to(logits.device)),
    )


def make_abc(counts: Tensor) -> ImbalanceLoss:
    """An auxiliary balanced classifier (Lee et al. 2021): the first learns from every row, the second, which
    predicts, from a row of class c with probability n_min / n_c.

    The paper's consistency regularisation is of unlabelled rows, and there are none here.
    """
    kept = counts.min() / counts

    def costs(logits: Tensor, progress: float) -> Tensor:
        drawn = torch.rand((*logits.shape[:-2], 1), device=logits.device)
        every, balanced = log_softmax(logits).unbind(-2)
        return -every - balanced * (drawn < kept.to(logits.device))

    return ImbalanceLoss(2, costs, lambda logits: log_softmax(logits[..., 1, :]))


def make_reslt(counts: Tensor) -> ImbalanceLoss:
    """Residual learning (Cui et al. 2022): three branches whose logits are summed; one learns from rows of
    all classes, one from medium and few, one from few.

    The authors divide the branches' losses by the rows that a batch has for all three; here that is their
    number in training. Their branches are a scaled embedding each under one classifier; ours are linear
    classifiers, which can be the same.
    """
    known = assign_classes(counts)
    share = float(counts.sum() / (known * counts).sum())

    def costs(logits: Tensor, progress: float) -> Tensor:
        branches = -(known.to(logits.device) * log_softmax(logits)).sum(-2)
        fused = -log_softmax(logits.sum(-2))
        return BRANCHES * share * branches + (1 - BRANCHES) * fused

    return ImbalanceLoss(len(known), costs, lambda logits: log_softmax(logits.sum(-2)))


def make_ace(counts: Tensor) -> ImbalanceLoss:
    """Ally complementary experts (Cai et al. 2021): one for all classes, one for medium and few, one for few.

    Each learns from the rows of its classes, and to keep its other logits at 0; the mean logit of the
    experts that learn a class predicts. The paper's learning rate of an expert, in proportion to its rows, is
    what the mean over all rows of a batch makes of its gradient (AdamW undoes it but for shared layers).
    Its scaling of logits by the norms of the experts' weights is left out: predictions depend on logits only.
    """
    known = assign_classes(counts)

    def costs(logits: Tensor, progress: float) -> Tensor:
        mask = known.to(logits.device)
        suppressed = ((1 - mask) * logits.square()).sum(-1, keepdim=True)
        return (mask * (suppressed - log_softmax(logits))).sum(-2)

    def predict(logits: Tensor) -> Tensor:
        mask = known.to(logits.device)
        return log_softmax((mask * logits).sum(-2) / mask.sum(-2))

    return ImbalanceLoss(len(known), costs, predict)


def make_sade(counts: Tensor) -> ImbalanceLoss:
    """Skilled, diverse experts (Zhang et al. 2022): plain softmax, balanced softmax, and one that
    leans as far to rare classes as the training prior leans away from them. Their mean logits predict.

    The third adds log pi - tau log(pi reversed): pi reversed gives the rarest class the share of the most
    frequent one, the second rarest that of the second, and so on. tau is 2, as the authors chose it.
    """
    prior = counts / counts.sum()
    order = counts.argsort()
    reversed_prior = torch.empty_like(prior).index_copy(0, order, prior[order.flip(0)])
    third = prior.log() - INVERSE * reversed_prior.log()
    adjustment = torch.stack([torch.zeros_like(prior), prior.log(), third])

    def costs(logits: Tensor, progress: float) -> Tensor:
        return -log_softmax(logits + adjustment.to(logits.device)).mean(-2)

    return ImbalanceLoss(len(adjustment), costs, aggregate)


BASELINES: dict[str, Callable[[Tensor], ImbalanceLoss]] = {
    "cross_entropy": make_cross_entropy,
    "class_balanced": make_class_balanced,
    "focal": make_focal,
    "ldam_drw": make_ldam_drw,
    "balanced_softmax": make_balanced_softmax,
    "logit_adjustment": make_logit_adjustment,
    "abc": make_abc,
    "reslt": make_reslt,
    "ace": make_ace,
    "sade": make_sade,
}


def log_softmax(logits: Tensor) -> Tensor:
    """Return log-probabilities: (..., C) -> (..., C)"""
    return F.log_softmax(logits, dim=-1)


def log_softmax_single(logits: Tensor) -> Tensor:
    """Return the log-probabilities of a single classifier: (..., 1, C) -> (..., C)"""
    return log_softmax(logits.squeeze(-2))


def compute_effective_weights(counts: Tensor) -> Tensor:
    """Compute (1 - beta) / (1 - beta^n_c), scaled to sum to C: (C,) -> (C,)"""
    weights = -1 / torch.expm1(counts.double() * math.log(BETA))  # exact where beta^n is near 1
    return (len(counts) * weights / weights.sum()).to(counts.dtype)


def assign_classes(counts: Tensor) -> Tensor:
    """Return 1 where an expert learns a class: all; medium and few; few. (C,) -> (3, C)"""
    shots = assign_shots(counts.tolist())
    groups = (("many", "medium", "few"), ("medium", "few"), ("few",))
    return torch.tensor([[float(shot in group) for shot in shots] for group in groups], dtype=counts.dtype)
