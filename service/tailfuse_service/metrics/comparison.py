"""Where a shadow's labels differ from the stable version's."""

from tailfuse_service.bundle import Bundle
from tailfuse_service.metrics.cells import Block, Cells
from tailfuse_service.metrics.histogram import block_of
from tailfuse_service.metrics.series import MOST_SUBSETS, OTHER, shown_labels

MOST_PAIRS = 256  # of labels, with series of their own


class Comparison:
    """Counts under the shadow's name and version."""

    def __init__(self, cells: Cells, shadow: Bundle) -> None:
        manifest = shadow.manifest
        self._cells = cells
        self._of = manifest.name, manifest.version
        self._shown = dict(zip(manifest.class_names, shown_labels(manifest.classes), strict=True))
        self._samples: dict[tuple[str, str], Block] = {}  # by subset and outcome
        self._pairs: dict[tuple[str, str], Block] = {}  # by both labels

    def count(self, subset: str, label: str, shadow_label: str) -> None:
        """A sample that both have answered: the stable version's label and the shadow's."""
        if label == shadow_label:
            self.count_outcome(subset, "agree")
            return
        self.count_outcome(subset, "disagree")
        # A class that the shadow does not have is one of the others.
        pair = self._shown.get(label, OTHER), self._shown[shadow_label]
        if pair not in self._pairs and len(self._pairs) >= MOST_PAIRS:
            pair = OTHER, OTHER
        self._add(self._pairs, "shadow_disagreements", pair)

    def count_outcome(self, subset: str, outcome: str) -> None:
        """agree, disagree, failed (the shadow has no answer) or dropped (it was not asked)."""
        if (subset, outcome) not in self._samples and len(self._samples) >= 4 * MOST_SUBSETS:
            subset = OTHER
        self._add(self._samples, "shadow_samples", (subset, outcome))

    def _add(self, blocks: dict[tuple[str, str], Block], family: str, labels: tuple[str, str]) -> None:
        with self._cells.lock:  # the event loop counts what was dropped, the shadow's thread all else
            if labels not in blocks:
                blocks[labels] = block_of(self._cells, family, *self._of, *labels)
            blocks[labels][0] += 1
