"""Count agreement and disagreement between a shadow and the stable version."""

from tailfuse_service.bundle import Bundle
from tailfuse_service.metrics.counters import Block, SharedCounters
from tailfuse_service.metrics.histogram import find_series
from tailfuse_service.metrics.model_metrics import MAX_SUBSETS, OTHER, choose_labels

MAX_PAIRS = 256  # of labels with their own series


class Comparison:
    """Counters of one shadow, labelled with its name and version."""

    def __init__(self, counters: SharedCounters, shadow: Bundle) -> None:
        manifest = shadow.manifest
        self._counters = counters
        self._bundle_labels = {"model": manifest.name, "version": manifest.version}
        self._shown = dict(zip(manifest.class_names, choose_labels(manifest.classes), strict=True))
        self._samples: dict[tuple[str, str], Block] = {}  # by subset and outcome
        self._pairs: dict[tuple[str, str], Block] = {}  # by both labels

    def count(self, subset: str, label: str, shadow_label: str) -> None:
        """Count one sample that both versions answered."""
        if label == shadow_label:
            self.count_outcome(subset, "agree")
            return
        self.count_outcome(subset, "disagree")
        # A class that the shadow does not know is counted as OTHER.
        pair = self._shown.get(label, OTHER), self._shown[shadow_label]
        if pair not in self._pairs and len(self._pairs) >= MAX_PAIRS:
            pair = OTHER, OTHER
        if pair not in self._pairs:
            self._pairs[pair] = self._find("shadow_disagreements", label=pair[0], shadow_label=pair[1])
        self._add(self._pairs[pair])

    def count_outcome(self, subset: str, outcome: str) -> None:
        """Count an outcome: agree, disagree, failed (no answer) or dropped (not sent to the shadow)."""
        if (subset, outcome) not in self._samples and len(self._samples) >= 4 * MAX_SUBSETS:
            subset = OTHER
        if (subset, outcome) not in self._samples:
            block = self._find("shadow_samples", subset=subset, outcome=outcome)
            self._samples[subset, outcome] = block
        self._add(self._samples[subset, outcome])

    def _find(self, family: str, **labels: str) -> Block:
        return find_series(self._counters, family, **self._bundle_labels, **labels)

    def _add(self, count: Block) -> None:
        with self._counters.lock:  # the event loop counts dropped samples, the shadow's thread all others
            count[0] += 1
