"""Templates become text: the report and the model card. Names are escaped, missing ones are errors."""

import re
from collections import Counter
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from tailfuse_service.bundle import Manifest
from tailfuse_service.modalities import ImageModality, Modality, SeriesModality, TabularModality
from tailfuse_service.modalities.series.features import with_noun

from tailfuse.evaluation.evaluate import decimal, percent


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
    return environment.get_template(template).render(context)


def facts(manifest: Manifest) -> dict[str, Any]:
    """What both pages say of the training rows."""
    counts = [info.train_count for info in manifest.classes]
    return {
        "train_rows": sum(counts),
        "imbalance_ratio": max(counts) / min(counts),
        "table": PurePath(str(manifest.spec.get("table", ""))).name,
    }


def describe(modality: Modality) -> str:
    """What a modality is made of, in one line."""
    if isinstance(modality, ImageModality):
        colours = "grey" if modality.channels == 1 else "colour"
        return f"{colours} picture, {modality.height} × {modality.width} (height × width)"
    if isinstance(modality, TabularModality):
        types = Counter(column.type for column in modality.columns)
        plural = {"number": "numbers", "boolean": "booleans", "category": "categories"}
        parts = [f"{count} {plural[kind] if count > 1 else kind}" for kind, count in types.items()]
        return f"row of {' and '.join(parts)}" if len(parts) < 3 else f"row of {', '.join(parts)}"
    if isinstance(modality, SeriesModality):
        channels = with_noun(len(modality.channels), "channel")
        return f"series of {channels}, at most {modality.length:,} steps"
    columns = "column" if len(modality.columns) == 1 else "columns"
    grams = "words" if modality.ngrams == 1 else f"word n-grams up to {modality.ngrams}"
    return f"text of {len(modality.columns)} {columns}, {grams}, {modality.buckets:,} buckets"


def thousands(value: int) -> str:
    """`12,345`"""
    return f"{value:,}"


def markdown(text: str) -> str:
    """Text that Markdown takes literally, on one line."""
    return re.sub(r"([\\`*\[\]<>|#$~])", r"\\\1", " ".join(text.split()))
