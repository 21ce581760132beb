"""Fit the forests of every network of a training to the training rows of that network.

As with the linear experts, the trees of a network have not seen the calibration rows that it scores. Whether
a forest helps is found out when the posteriors are fitted: the rows of one fold are too few to say.
"""

from collections.abc import Sequence

from tailfuse.calibration.fit_linear import FoldNetwork, choose_rows, select_rows
from tailfuse.modalities.tabular.encoder import Mlp
from tailfuse.network.forest import ForestExpert
from tailfuse.spec.schema import Spec

MAX_NUMBERS = 1_000_000  # columns times rows: a fit of two seconds. More rows would not grow other trees.
MAX_CLASSES = 100  # whose leaves have 10 MB


def takes_forests(spec: Spec) -> bool:
    """Return whether forests are fitted. Unless the spec says so, that is if nothing is fused.

    Trees are then most often ahead of a network; what other modalities tell needs no trees.
    """
    wanted = spec.network.forest
    return len(spec.modalities) == 1 if wanted is None else wanted


def fit_forests(networks: Sequence[FoldNetwork]) -> None:
    """Fit the forests of all networks, one for each modality of columns."""
    final = networks[0].network
    if final.n_classes > MAX_CLASSES:
        return
    for name, encoder in zip(final.modalities, final.encoders, strict=True):
        if isinstance(encoder, Mlp):
            for each in networks:
                each.network.add_forest(name, fit_forest(each, name))


def fit_forest(fitted: FoldNetwork, name: str) -> ForestExpert:
    """Fit a forest to the training rows of one network; it prefers no class where none has the modality."""
    rows, labels = select_rows(fitted.train, name)
    expert = ForestExpert(fitted.network.n_classes)
    if len(rows):
        kept = choose_rows(labels, MAX_NUMBERS // rows.shape[1])
        expert.fit(rows[kept], labels[kept])
    return expert
