"""MODEL_CARD.md: what a bundle is for, what it learnt from, how good it is, and where it is not."""

import json
from typing import Any

from tailfuse_service.bundle import Manifest

from tailfuse.evaluation.evaluate import Evaluation, as_given
from tailfuse.evaluation.metrics import wilson_interval
from tailfuse.evaluation.pages import facts, page
from tailfuse.modalities import KINDS


def model_card(manifest: Manifest, evaluation: Evaluation) -> str:
    """The card as Markdown. It has no date: the same seed gives the same bundle."""
    modalities = [(name, KINDS[each.kind], each) for name, each in manifest.modalities.items()]
    inputs = {name: kind.card_example(each) for name, kind, each in modalities}
    return page(
        "card.md.jinja",
        {
            **facts(manifest),
            **rare_classes(evaluation),
            "manifest": manifest,
            "evaluation": evaluation,
            "weights": as_given(evaluation.weights),
            "confidences": as_given(evaluation.confidences),
            "rows": dict(zip(manifest.class_names, evaluation.confusion.sum(axis=1).tolist(), strict=True)),
            "recall": dict(zip(manifest.class_names, evaluation.recall.tolist(), strict=True)),
            "example": json.dumps({"inputs": inputs}, ensure_ascii=False),
            "notes": list(dict.fromkeys(kind.card_note for _, kind, _ in modalities if kind.card_note)),
        },
    )


def rare_classes(evaluation: Evaluation) -> dict[str, Any]:
    """Evaluated rows of the few-shot classes, the fewest of one class, and the interval of their recall."""
    few = [at for at, info in enumerate(evaluation.classes) if info.shot == "few"]
    rows = evaluation.confusion.sum(axis=1)[few]
    right = int(evaluation.confusion.diagonal()[few].sum())
    total = int(rows.sum())
    return {
        "few_rows": total,
        "few_right": right,
        "fewest_rows": int(rows.min(initial=total)),
        "interval": wilson_interval(right, total) if total else None,
    }
