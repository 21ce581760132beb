"""The methods: names, citations, and what each changes in the spec.

Fusion baselines use logit adjustment, the best of the losses; losses use concatenation. `concat` is
therefore also the row of logit adjustment.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

Group = Literal["ours", "fusion", "long tail", "not neural", "rivals", "ablation"]


@dataclass(frozen=True, slots=True)
class Method:
    """`overrides` are dotted keys of the spec with their values.

    A method that `needs_text` is run on datasets of raw text only, one with a `dataset` on that one only.
    """

    name: str
    group: Group
    citation: str = ""
    overrides: Mapping[str, Any] = field(default_factory=dict)
    needs_text: bool = False
    dataset: str | None = None

    @property
    def training_key(self) -> str:
        """Key of the training; methods with the same key differ only in what the calibration set fits."""
        if self.group in ("not neural", RIVALS) or self.name in (SPECIALIST, MOGONET):
            return self.name
        return repr(
            [
                (key, value)
                for key, value in sorted(self.overrides.items())
                if (key, value) not in CALIBRATION_OVERRIDES
            ]
        )

    @property
    def headline_only(self) -> bool:
        """Return whether the method is left out at other imbalance ratios than the headline's."""
        return self.group == "ablation" or self.name == SPECIALIST


OURS, ADAPTED, SPECIALIST = "tailfuse", "tailfuse + adapt", "trained for the subset"
CONCAT = "concat"
SADE_MM, SADE_MM_WEIGHED = "SADE-MM", "SADE-MM + test-time weights"
SADE_MM_OVERRIDES = {"network.fusion": "sade_mm", "network.loss": "sade"}
MOGONET = "MOGONET"  # a network, but none of a spec
LOGISTIC, LATE_LOGISTIC, TREES = "logistic regression", "late logistic regression", "boosted trees"
EXTRA_TREES = "extra trees"
RIVALS: Final = "rivals"  # the group that runs in an environment of its own
CALIBRATION_OVERRIDES = (
    ("network.fusion", "uniform"),
    ("training.damage", False),
    ("training.calibrate", False),
    ("network.generative", False),
)


def make_fusion(name: str, citation: str, key: str) -> Method:
    """Return a fusion of the spec, with logit adjustment."""
    return Method(name, "fusion", citation, {"network.fusion": key, "network.loss": "logit_adjustment"})


def make_long_tail(name: str, citation: str, loss: str, **more: Any) -> Method:
    """Return a loss of the spec, with concatenation."""
    return Method(name, "long tail", citation, {"network.fusion": "concat", "network.loss": loss} | more)


def make_ablation(name: str, overrides: Mapping[str, Any]) -> Method:
    """Return our method with one of its parts changed or left out."""
    return Method(name, "ablation", "", overrides)


ALL_METHODS = (
    Method(OURS, "ours", "after Yoon and Kim 2026, arXiv 2605.10498"),
    Method(SPECIALIST, "ours", "a model for each subset of modalities"),
    make_fusion("single", "best modality alone, chosen on validation", "single"),
    make_fusion(CONCAT, "with logit adjustment (Menon 2021, arXiv 2007.07314)", "concat"),
    make_fusion("late", "mean of each modality's probabilities", "late"),
    make_fusion("tensor", "Zadeh 2017, arXiv 1707.07250", "tensor"),
    make_fusion("dynamics", "Multimodal Dynamics, Han 2022", "dynamics"),
    make_fusion("QMF", "Zhang 2023, arXiv 2306.02050", "qmf"),
    make_fusion("TMC", "trusted multi-view classification, Han 2021, arXiv 2102.02051", "tmc"),
    Method(SADE_MM, "fusion", "as the authors' code most probably does it", SADE_MM_OVERRIDES),
    Method(SADE_MM_WEIGHED, "fusion", "the same, its experts weighed on test rows", SADE_MM_OVERRIDES),
    Method(MOGONET, "fusion", "graphs of samples, Wang 2021", dataset="rosmap"),
    Method("uniform", "fusion", "ours, its weights replaced by uniform ones", {"network.fusion": "uniform"}),
    make_long_tail("cross-entropy", "", "cross_entropy"),
    make_long_tail("class-balanced", "Cui 2019, arXiv 1901.05555", "class_balanced"),
    make_long_tail("focal", "Lin 2017, arXiv 1708.02002", "focal"),
    make_long_tail("LDAM-DRW", "Cao 2019, arXiv 1906.07413", "ldam_drw"),
    make_long_tail("balanced softmax", "Ren 2020, arXiv 2007.10740", "balanced_softmax"),
    make_long_tail("SMOTE", "Chawla 2002, arXiv 1106.1813", "cross_entropy", **{"training.smote": True}),
    make_long_tail("ABC", "Lee 2021, arXiv 2110.10368", "abc"),
    make_long_tail("ResLT", "Cui 2022, arXiv 2101.10633", "reslt"),
    make_long_tail("ACE", "Cai 2021, arXiv 2108.02385", "ace"),
    make_long_tail("SADE", "Zhang 2022, arXiv 2107.09249", "sade"),
    Method(LOGISTIC, "not neural", "class-weighted, on the concatenated columns"),
    Method(LATE_LOGISTIC, "not neural", "one for each modality, log-probabilities added by held-out weights"),
    Method(TREES, "not neural", "class-weighted, on the concatenated columns; Ke 2017"),
    Method(
        EXTRA_TREES, "not neural", "on the concatenated columns, divided by the class shares; Geurts 2006"
    ),
    Method("AutoGluon", RIVALS, "Tabular, good_quality, balanced accuracy; Erickson 2020, arXiv 2003.06505"),
    Method("CatBoost", RIVALS, "balanced, text and embedding features; Prokhorenkova 2018"),
    Method("LightGBM", RIVALS, "balanced; Ke 2017"),
    Method("TabM", RIVALS, "balanced; Gorishniy 2025, arXiv 2410.24210"),
    Method("TF-IDF logistic regression", RIVALS, "class-weighted, texts as TF-IDF", needs_text=True),
    Method(
        "TF-IDF late logistic regression", RIVALS, "one for each modality, texts as TF-IDF", needs_text=True
    ),
    make_ablation("three experts", {"network.experts": [0.0, 1.0, 2.0]}),
    make_ablation("no modality dropout", {"training.modality_dropout": 0.0}),
    make_ablation("no damage in training", {"training.damage": False}),
    make_ablation("no calibration", {"training.calibrate": False}),
    make_ablation("no generative expert", {"network.generative": False}),
    make_ablation("forest", {"network.forest": True}),
    make_ablation("no forest", {"network.forest": False}),
)
METHODS = {each.name: each for each in ALL_METHODS}
