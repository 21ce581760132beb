"""Write report.html and report.md from the result tables; equal tables give equal bytes."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined, select_autoescape
from tailfuse.evaluation.pages import markdown
from tailfuse_service.bundle import write_atomically

from tailfuse_bench.datasets import ORIGINAL_IR
from tailfuse_bench.figures import BOTTOM, HEIGHT, LEFT, WIDTH
from tailfuse_bench.scores import Scores, read_scores
from tailfuse_bench.sections import (
    ablations,
    adaptation,
    baselines,
    calibration,
    corruption,
    cost,
    headline,
    measures,
    missing,
    subsets,
    weights,
)
from tailfuse_bench.sections.section import Section, remove_statuses
from tailfuse_bench.tables import join_names

SECTIONS = (
    headline,
    baselines,
    weights,
    corruption,
    subsets,
    calibration,
    cost,
    ablations,
    adaptation,
    missing,
    measures,
)


def write_report(out: Path) -> None:
    """Read OUT/results.csv and OUT/reliability.csv; write OUT/report.html and OUT/report.md.

    The report names missing results. Raises RunError if a table cannot be read.
    """
    scores = read_scores(out)
    context = {
        "sections": make_sections(scores),
        "facts": describe_size(scores),
        "size": {"width": WIDTH, "height": HEIGHT, "left": LEFT, "bottom": BOTTOM},
    }
    for suffix in (".html", ".md"):
        write_atomically(out / f"report{suffix}", render_page(f"bench{suffix}.jinja", context))


def render_page(template: str, context: Mapping[str, Any]) -> str:
    """Render a template. The HTML template uses the style sheet of a training report."""
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


def make_sections(scores: Scores) -> list[Section]:
    """Return all sections in the order of their numbers.

    With fewer datasets than the full benchmark has, the targets are texts without a verdict: most of them
    cannot be reached, and those that can be missed would only look bad.
    """
    sections = [part.make_section(scores) for part in SECTIONS]
    return sections if has_all_datasets(scores) else [remove_statuses(section) for section in sections]


def has_all_datasets(scores: Scores) -> bool:
    """Return whether the table has as many datasets as the full benchmark."""
    return len(scores.full) >= headline.N_DATASETS


def describe_size(scores: Scores) -> str:
    """Return the size of the benchmark in words."""
    counts = {
        "dataset": len(scores.full),
        "imbalance ratio": len(set(scores.ratios) - {ORIGINAL_IR}),
        "seed": len(scores.seeds),
        "baseline": len(scores.baselines),
        "ablation": len(scores.ablations),
    }
    words = [f"{count} {name}{'' if count == 1 else 's'}" for name, count in counts.items()]
    size = join_names(words)
    if has_all_datasets(scores):
        return size
    full = f"The full benchmark has {headline.N_DATASETS} datasets"
    return f"{size}. {full}: with fewer no target counts as reached or missed"
