"""Class priors: what a bundle's answers become where classes have other shares than the graph assumes.

The graph answers for one prior: equal shares, or those that `tailfuse adapt` has put into it. By Bayes'
theorem, its probability p_c becomes p_c q_c / g_c for the shares q instead of the graph's g, divided by the
sum over the classes. Fusion weights and confidences do not depend on the prior.

Letters: B samples, C classes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import fsum, isfinite
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tailfuse_service.bundle.batch import Output
from tailfuse_service.bundle.manifest import ClassInfo, Manifest
from tailfuse_service.modalities.tabular.spelling import KnownNames

PRIORS = ("uniform", "training", "tempered")
GIVEN = "given"  # the name of shares that the user has given
TEMPERED_POWER = 0.25  # of the training shares: between uniform and training
# A smaller share is a typing mistake, and float32 probabilities say nothing of such a class.
MIN_SHARE = 1e-9
SUM_TOLERANCE = 0.01  # shares that are rounded to per cent do not add up to 1 exactly
# The losses whose networks answer for equally frequent classes.
UNIFORM_LOSSES = ("experts", "balanced_softmax", "logit_adjustment")

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class ClassPrior:
    """Shares of the classes that answers hold for.

    `factors` (C,) multiply the graph's probabilities; None if the graph answers for these shares itself.
    """

    name: str  # one of PRIORS, or GIVEN
    shares: dict[str, float]
    factors: Floats | None

    @property
    def stated_name(self) -> str | None:
        """The name that an answer states; None where the graph's own answer is unchanged."""
        return None if self.factors is None else self.name


class PriorError(ValueError):
    """A prior that cannot be used with a bundle."""


def make_prior(manifest: Manifest, chosen: str | Mapping[str, float]) -> ClassPrior:
    """Make a prior from its name (one of PRIORS) or from given shares. Raises PriorError.

    >>> make_prior(manifest, "training").shares
    {'nv': 0.677, 'mel': 0.301, 'bkl': 0.023}
    """
    name = chosen if isinstance(chosen, str) else GIVEN
    shares = compute_shares(manifest.classes, chosen)
    graph = np.array(list(find_graph_shares(manifest).values()))
    if np.allclose(shares, graph, rtol=1e-9, atol=0.0):
        factors = None
    else:
        check_loss(manifest.spec)
        factors = shares / graph
    return ClassPrior(name, dict(zip(manifest.class_names, shares.tolist(), strict=True)), factors)


def compute_shares(classes: Sequence[ClassInfo], chosen: str | Mapping[str, float]) -> Floats:
    """Compute the share of each class, (C,). Raises PriorError."""
    names = [info.name for info in classes]
    if isinstance(chosen, Mapping):
        return order_shares(chosen, names)
    if not isinstance(chosen, str):
        raise PriorError(
            f"prior is a {type(chosen).__name__}; expected {', '.join(PRIORS)}, or a mapping from class to "
            "its share"
        )
    if chosen not in PRIORS:
        raise PriorError(f"prior '{chosen:.40}' is none of {', '.join(PRIORS)}")
    if chosen == "uniform":
        return np.full(len(names), 1 / len(names))
    for info in classes:
        if info.train_count < 1:
            raise PriorError(
                f"the bundle does not say how many training rows class '{info.name:.80}' had; "
                "only the prior uniform, or given shares, can be used"
            )
    power = TEMPERED_POWER if chosen == "tempered" else 1.0
    weights: Floats = np.array([info.train_count for info in classes], np.float64) ** power
    weights /= weights.sum()
    return weights


def order_shares(shares: Mapping[str, float], class_names: Sequence[str]) -> Floats:
    """Check given shares; return them in the order of the classes, (C,), summing to 1. Raises PriorError.

    A class is found as a label is: 0 and False are the classes "0" and "false".
    """
    known = KnownNames(class_names)
    given: dict[str, float] = {}
    for label, share in shares.items():
        at = known.find(label)
        if at is None:
            raise PriorError(f"'{label!s:.80}' is no class of the model; expected {join_some(class_names)}")
        name = class_names[at]
        if name in given:
            raise PriorError(f"two shares are given for class '{name:.80}'")
        given[name] = check_share(name, share)
    missing = [name for name in class_names if name not in given]
    if missing:
        raise PriorError(f"no share is given for {join_some(missing)}; every class needs one")
    total = fsum(given.values())
    if abs(total - 1) > SUM_TOLERANCE:
        raise PriorError(f"the shares sum to {total:.6g}; expected 1")
    return np.array([given[name] for name in class_names]) / total


def check_share(name: str, share: float) -> float:
    """Return the share of a class. Raises PriorError if it is no number, or too small."""
    if isinstance(share, bool) or not isinstance(share, Real):
        raise PriorError(f"the share of class '{name:.80}' is no number: {share!r:.40}")
    if not (isfinite(share) and share >= MIN_SHARE):
        raise PriorError(
            f"the share of class '{name:.80}' is {float(share):g}; expected at least {MIN_SHARE:g}"
        )
    return float(share)


def join_some(names: Sequence[str], most: int = 5) -> str:
    """Join the first names."""
    shown = ", ".join(f"'{name:.80}'" for name in names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"


def find_graph_shares(manifest: Manifest) -> dict[str, float]:
    """Return the shares that the graph answers for: equal ones, or as estimated by `tailfuse adapt`."""
    if manifest.adaptation is not None:
        return {name: manifest.adaptation.prior[name] for name in manifest.class_names}
    return dict.fromkeys(manifest.class_names, 1 / len(manifest.classes))


def check_loss(spec: Mapping[str, Any]) -> None:
    """Check that the network answers for equally frequent classes; some do not. Raises PriorError."""
    network = spec.get("network", {})
    loss, experts = network.get("loss", "experts"), network.get("experts", [1.0])
    # Expert e answers for the training shares to the power 1 - tau_e, and the experts are averaged.
    if loss not in UNIFORM_LOSSES or (loss == "experts" and abs(np.mean(experts) - 1) > 1e-6):
        raise PriorError(
            f"the bundle was trained with network.loss '{loss}'"
            + (f" and network.experts {list(experts)}" if loss == "experts" else "")
            + ", whose answers are not for equally frequent classes; no other prior can be used"
        )


def apply_prior(output: Output, factors: Floats | None) -> Output:
    """Return the output with probabilities for other shares; `factors` are (C,), or (B, C) by sample."""
    if factors is None:
        return output
    weighted = output.probabilities * factors
    weighted /= weighted.sum(axis=1, keepdims=True)
    return replace(output, probabilities=weighted.astype(np.float32))
