"""Section 9: results that the full benchmark has and this table lacks."""

from tailfuse_bench.datasets import DATASETS
from tailfuse_bench.methods import METHODS, OURS
from tailfuse_bench.scores import Scores
from tailfuse_bench.sections.headline import N_DATASETS
from tailfuse_bench.sections.section import Section, Target
from tailfuse_bench.tables import Cell, Row, Table, join_names

RATIOS = (1, 10, 50, 100)
SEEDS = 5


def make_section(scores: Scores) -> Section:
    """Make the section that lists missing results."""
    rows = find_holes(scores)
    found = find_gaps(scores)
    if rows:
        found.append(f"{len(rows)} combinations of method and set at the headline’s ratio (below)")
    text = f"Missing: {'; '.join(found)}." if found else "Nothing is missing."
    tables = []
    if rows:
        caption = "Methods with fewer seeds than the table has, at the headline’s ratio"
        tables = [Table(caption, ["method", "set", "seeds"], rows, folded=True)]
    return Section(
        "Missing results",
        [Target("Eight sets, four ratios, five seeds, every method.", text, "open" if found else "reached")],
        tables=tables,
    )


def find_gaps(scores: Scores) -> list[str]:
    """Describe the datasets, ratios, seeds and baselines without results."""
    found = []
    if len(scores.full) < N_DATASETS:
        found.append(
            f"sets ({len(scores.full)} of {N_DATASETS}: {join_names(sorted(scores.full), N_DATASETS)})"
        )
    without = sorted(scores.full.keys() - scores.headline.keys())
    if without:
        found.append(f"ratio {scores.headline_ir} on {join_names(without, N_DATASETS)}")
    ratios = [str(ir) for ir in RATIOS if ir not in scores.ratios]
    if ratios:
        found.append(f"{'ratio' if len(ratios) == 1 else 'ratios'} {join_names(ratios)}")
    for ir in RATIOS:
        if ir in scores.ratios and ir != scores.headline_ir:
            found += find_gaps_at(scores, ir)
    if len(scores.seeds) < SEEDS:
        found.append(f"seeds ({len(scores.seeds)} of {SEEDS})")
    if not scores.baselines:
        found.append("baselines")
    return found


def find_gaps_at(scores: Scores, ir: int) -> list[str]:
    """Count the results missing at a ratio other than the headline's."""
    supported = [
        name for name in scores.full if name in DATASETS and ir in DATASETS[name].select_ratios([ir])
    ]
    methods = [OURS, *scores.baselines]
    pairs = [(name, method) for name in supported for method in methods if is_run_on(method, name)]
    expected = len(pairs) * len(scores.seeds)
    present = sum(len(scores.values(name, method, ir=ir)) for name, method in pairs)
    if present >= expected:
        return []
    return [f"{expected - present} of {expected} combinations of method, set and seed at ratio {ir}"]


def is_run_on(method: str, dataset: str) -> bool:
    """Return whether a method may run on a dataset; one that the bench does not know may run on any."""
    return method not in METHODS or METHODS[method].dataset in (None, dataset)


def find_holes(scores: Scores) -> list[Row]:
    """Return a row for each method and dataset with fewer seeds than the table has."""
    rows = []
    for method in [OURS, *scores.baselines, *scores.ablations]:
        for name in scores.sets:
            n = len(scores.values(name, method))
            if n < len(scores.seeds) and is_run_on(method, name):
                rows.append(Row(method, [Cell(name), Cell(f"{n} of {len(scores.seeds)}")]))
    return rows
