"""The methods: names, where they come from, and what each changes in the spec.

A fusion baseline carries the logit adjustment, the best of the losses; a loss is tried on the
concatenation. So `concat` is logit adjustment's row as well.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Group = Literal["ours", "fusion", "long tail", "not neural", "ablation"]


@dataclass(frozen=True, slots=True)
class Method:
    """`overrides` are dotted keys of the spec with their values."""

    name: str
    group: Group
    citation: str = ""
    overrides: Mapping[str, Any] = field(default_factory=dict)

    @property
    def trained_as(self) -> str:
        """Methods with the same one share their training; they differ in what is fitted on held-out rows."""
        if self.group == "not neural" or self.name == SPECIALIST:
            return self.name
        return repr(
            [(key, value) for key, value in sorted(self.overrides.items()) if (key, value) not in FITTED]
        )

    @property
    def headline_only(self) -> bool:
        """What explains the headline is not run at other imbalance ratios."""
        return self.group == "ablation" or self.name == SPECIALIST


OURS, ADAPTED, SPECIALIST = "tailfuse", "tailfuse + adapt", "trained for the subset"
CONCAT = "concat"
LOGISTIC, TREES = "logistic regression", "boosted trees"
FITTED = (
    ("network.fusion", "uniform"),
    ("training.damage", False),
    ("training.calibrate", False),
    ("network.generative", False),
)


def fusion(name: str, citation: str, key: str) -> Method:
    """A fusion of the spec, with logit adjustment."""
    return Method(name, "fusion", citation, {"network.fusion": key, "network.loss": "logit_adjustment"})


def long_tail(name: str, citation: str, loss: str, **more: Any) -> Method:
    """A loss of the spec, on the concatenation."""
    return Method(name, "long tail", citation, {"network.fusion": "concat", "network.loss": loss} | more)


def ablation(name: str, overrides: Mapping[str, Any]) -> Method:
    """Ours with a part taken away."""
    return Method(name, "ablation", "", overrides)


EACH = (
    Method(OURS, "ours", "after Yoon and Kim 2026, arXiv 2605.10498"),
    Method(SPECIALIST, "ours", "a model for each subset of modalities"),
    fusion("single", "best modality alone, chosen on validation", "single"),
    fusion(CONCAT, "with logit adjustment (Menon 2021, arXiv 2007.07314)", "concat"),
    fusion("late", "mean of each modality's probabilities", "late"),
    fusion("tensor", "Zadeh 2017, arXiv 1707.07250", "tensor"),
    fusion("dynamics", "Multimodal Dynamics, Han 2022", "dynamics"),
    Method("uniform", "fusion", "ours, its weights replaced by uniform ones", {"network.fusion": "uniform"}),
    long_tail("cross-entropy", "", "cross_entropy"),
    long_tail("class-balanced", "Cui 2019, arXiv 1901.05555", "class_balanced"),
    long_tail("focal", "Lin 2017, arXiv 1708.02002", "focal"),
    long_tail("LDAM-DRW", "Cao 2019, arXiv 1906.07413", "ldam_drw"),
    long_tail("balanced softmax", "Ren 2020, arXiv 2007.10740", "balanced_softmax"),
    long_tail("SMOTE", "Chawla 2002, arXiv 1106.1813", "cross_entropy", **{"training.smote": True}),
    long_tail("ABC", "Lee 2021, arXiv 2110.10368", "abc"),
    long_tail("ResLT", "Cui 2022, arXiv 2101.10633", "reslt"),
    long_tail("ACE", "Cai 2021, arXiv 2108.02385", "ace"),
    Method(LOGISTIC, "not neural", "class-weighted, on the concatenated columns"),
    Method(TREES, "not neural", "class-weighted, on the concatenated columns; Ke 2017"),
    ablation("three experts", {"network.experts": [0.0, 1.0, 2.0]}),
    ablation("no modality dropout", {"training.modality_dropout": 0.0}),
    ablation("no damage in training", {"training.damage": False}),
    ablation("no calibration", {"training.calibrate": False}),
    ablation("no generative expert", {"network.generative": False}),
)
METHODS = {each.name: each for each in EACH}
