"""Section 9: what the protocol asks for and this table has not."""

from tailfuse_bench.datasets import SETS
from tailfuse_bench.methods import OURS
from tailfuse_bench.scores import Scores
from tailfuse_bench.sections.headline import ALL_SETS
from tailfuse_bench.sections.section import Aim, Section
from tailfuse_bench.tables import Cell, Row, Table, listed

RATIOS = (1, 10, 50, 100)
SEEDS = 5


def section(scores: Scores) -> Section:
    rows = holes(scores)
    found = gaps(scores)
    if rows:
        found.append(f"{len(rows)} combinations of method and set at the headline’s ratio (below)")
    text = f"Missing: {'; '.join(found)}." if found else "Nothing is missing."
    tables = []
    if rows:
        caption = "Methods with fewer seeds than the table has, at the headline’s ratio"
        tables = [Table(caption, ["method", "set", "seeds"], rows, folded=True)]
    return Section(
        "What is missing",
        [Aim("Eight sets, four ratios, five seeds, every method.", text, "open" if found else "reached")],
        tables=tables,
    )


def gaps(scores: Scores) -> list[str]:
    found = []
    if len(scores.full) < ALL_SETS:
        found.append(f"sets ({len(scores.full)} of {ALL_SETS}: {listed(sorted(scores.full), ALL_SETS)})")
    without = sorted(scores.full.keys() - scores.headline.keys())
    if without:
        found.append(f"ratio {scores.headline_ir} on {listed(without, ALL_SETS)}")
    ratios = [str(ir) for ir in RATIOS if ir not in scores.ratios]
    if ratios:
        found.append(f"{'ratio' if len(ratios) == 1 else 'ratios'} {listed(ratios)}")
    for ir in RATIOS:
        if ir in scores.ratios and ir != scores.headline_ir:
            found += gaps_at(scores, ir)
    if len(scores.seeds) < SEEDS:
        found.append(f"seeds ({len(scores.seeds)} of {SEEDS})")
    if not scores.baselines:
        found.append("baselines")
    return found


def gaps_at(scores: Scores, ir: int) -> list[str]:
    """What is missing at a ratio that is not the headline's."""
    bearing = [name for name in scores.full if name in SETS and ir in SETS[name].tails([ir])]
    methods = [OURS, *scores.baselines]
    wanted = len(bearing) * len(methods) * len(scores.seeds)
    there = sum(len(scores.values(name, method, ir=ir)) for name in bearing for method in methods)
    if there >= wanted:
        return []
    return [f"{wanted - there} of {wanted} combinations of method, set and seed at ratio {ir}"]


def holes(scores: Scores) -> list[Row]:
    rows = []
    for method in [OURS, *scores.baselines, *scores.ablations]:
        for name in scores.sets:
            n = len(scores.values(name, method))
            if n < len(scores.seeds):
                rows.append(Row(method, [Cell(name), Cell(f"{n} of {len(scores.seeds)}")]))
    return rows
