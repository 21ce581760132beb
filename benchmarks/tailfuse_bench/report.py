"""report.html and report.md of a bench, from its tables alone: the same bytes for the same tables."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined, select_autoescape
from tailfuse.evaluation.pages import markdown
from tailfuse_service.bundle import write_atomically

from tailfuse_bench.datasets import OWN_TAIL
from tailfuse_bench.figures import BOTTOM, HEIGHT, LEFT, WIDTH
from tailfuse_bench.scores import Scores, read_scores
from tailfuse_bench.sections import (
    ablations,
    adaptation,
    baselines,
    calibration,
    cost,
    damage,
    headline,
    missing,
    subsets,
    weights,
)
from tailfuse_bench.sections.section import Section
from tailfuse_bench.tables import listed

SECTIONS = (headline, baselines, weights, damage, subsets, calibration, cost, ablations, adaptation, missing)


def write_report(out: Path) -> None:
    """Read OUT/results.csv and OUT/reliability.csv; write OUT/report.html and OUT/report.md.

    Whatever is missing is named in the report. Raises RunError if there is no table to read.
    """
    scores = read_scores(out)
    context = {
        "sections": sections_of(scores),
        "facts": facts(scores),
        "size": {"width": WIDTH, "height": HEIGHT, "left": LEFT, "bottom": BOTTOM},
    }
    for suffix in (".html", ".md"):
        write_atomically(out / f"report{suffix}", page(f"bench{suffix}.jinja", context))


def page(template: str, context: Mapping[str, Any]) -> str:
    """Fill one of the templates; the HTML one takes its style from the report of a run."""
    environment = Environment(
        loader=ChoiceLoader([PackageLoader("tailfuse_bench"), PackageLoader("tailfuse.evaluation")]),
        autoescape=select_autoescape(["html.jinja"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["markdown"] = markdown
    return environment.get_template(template).render(context)


def sections_of(scores: Scores) -> list[Section]:
    """All sections, in the order of the protocol."""
    return [part.section(scores) for part in SECTIONS]


def facts(scores: Scores) -> str:
    """The size of the bench, in words."""
    counts = {
        "set": len(scores.full),
        "imbalance ratio": len(set(scores.ratios) - {OWN_TAIL}),
        "seed": len(scores.seeds),
        "baseline": len(scores.baselines),
        "ablation": len(scores.ablations),
    }
    words = [f"{count} {name}{'' if count == 1 else 's'}" for name, count in counts.items()]
    return listed(words)
