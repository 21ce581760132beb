"""Templates become text: the report and the model card. Names are escaped, missing ones are errors."""

import re
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from tailfuse_service.bundle import Manifest
from tailfuse_service.modalities import Modality

from tailfuse.evaluation.evaluate import decimal, percent
from tailfuse.modalities import KINDS


def page(template: str, context: Mapping[str, Any]) -> str:
    """Fill one of the templates in this package; those that end in .html.jinja escape what they show."""
    environment = Environment(
        loader=PackageLoader("tailfuse.evaluation"),
        autoescape=select_autoescape(["html.jinja"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(
        percent=percent, decimal=decimal, describe=describe, thousands=thousands, markdown=markdown
    )
    environment.globals["zip"] = zip
    text = environment.get_template(template).render(context)
    # The name of a file may hold bytes that are no text, which Python keeps as lone surrogates.
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def facts(manifest: Manifest) -> dict[str, Any]:
    """Return the facts of the training rows and of the network that both pages have."""
    forests = manifest.calibration.get("forest", [0.0] * len(manifest.modalities))
    counts = [info.train_count for info in manifest.classes]
    return {
        "train_rows": sum(counts),
        "imbalance_ratio": max(counts) / min(counts),
        "forests": [name for name, weight in zip(manifest.modalities, forests, strict=True) if weight],
        "table": PurePath(str(manifest.spec.get("table", ""))).name,
    }


def describe(modality: Modality) -> str:
    """Describe what a modality is made of, in one line."""
    return KINDS[modality.kind].describe(modality)


def thousands(value: int) -> str:
    """`12,345`"""
    return f"{value:,}"


def markdown(text: str) -> str:
    """Text that Markdown takes literally, on one line."""
    return re.sub(r"([\\`*\[\]<>|#$~])", r"\\\1", " ".join(text.split()))
