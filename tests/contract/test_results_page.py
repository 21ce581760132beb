"""docs/RESULTS.md and the README show what the committed tables have."""

import csv
import re
from collections import defaultdict
from pathlib import Path
from statistics import mean, stdev

import pytest
from tailfuse_bench.skewed.compare import describe_scores, read_scores

from tests.support.pages import read_blocks

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "RESULTS.md").read_text()
README = (ROOT / "README.md").read_text()
REPORT = (ROOT / "results" / "report.md").read_text()
SERVING = (ROOT / "benchmarks" / "serving_bench" / "RESULTS.md").read_text()
METHODS = {  # of the page, by their names in results.csv
    "single": "best modality alone",
    "concat": "concatenation, logit adjustment",
    "late": "late average",
    "tensor": "tensor fusion",
    "dynamics": "Multimodal Dynamics",
    "uniform": "ours, uniform weights",
    "balanced softmax": "concatenation, balanced softmax",
    "cross-entropy": "concatenation, cross-entropy",
}
ROUNDING = 0.0501  # of one decimal, and of float
WORKLOADS = {
    "tabular": "eight columns",
    "image+tabular": "64x64 JPEG + columns",
    "mix": "a mix of all subsets",
}


def read_table(text: str, heading: str) -> dict[str, dict[str, str]]:
    """Return the first table below a heading: its cells without marks, by row and column."""
    _, _, rest = text.partition(f"{heading}\n")
    block = re.search(r"(?:^\|.*\n)+", rest, re.MULTILINE)
    assert block, heading
    head, _, *rows = [
        [re.sub(r"\*|\\", "", cell).strip() for cell in line.strip("|").split("|")]
        for line in block[0].splitlines()
    ]
    return {row[0]: dict(zip(head[1:], row[1:], strict=True)) for row in rows}


def read_means(name: str = "results.csv") -> dict[str, dict[str, float]]:
    """Return balanced accuracies of all modalities in per cent, means over seeds, by method and dataset."""
    found: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    with (ROOT / "results" / name).open(newline="") as file:
        rows = [
            row for row in csv.DictReader(file) if row["condition"] == "clean" and row["ir"] in ("0", "50")
        ]
    rows = [row for row in rows if row["balanced_accuracy"]]  # without it a row has times and sizes
    whole = {row["set"]: row["subset"] for row in sorted(rows, key=lambda row: row["subset"].count("+"))}
    for row in rows:
        if row["subset"] == whole[row["set"]]:
            found[row["method"]][row["set"]].append(100 * float(row["balanced_accuracy"]))
    return {method: {name: mean(values) for name, values in sets.items()} for method, sets in found.items()}


def test_the_balanced_accuracies_are_those_of_the_csv_file() -> None:
    means = read_means()
    shown = read_table(PAGE, "## Balanced accuracy")
    assert {METHODS.get(method, method) for method in means} >= shown.keys()
    for method, row in shown.items():
        known = means[next(name for name in means if METHODS.get(name, name) == method)]
        assert {name: float(cell) for name, cell in row.items()} == pytest.approx(
            known | {"mean": mean(known.values())}, abs=ROUNDING
        ), method


def test_the_balanced_accuracies_of_twenty_seeds_are_those_of_their_csv_file() -> None:
    means, shown = read_means("twenty-seeds.csv"), read_table(PAGE, "## Twenty seeds")
    assert shown.keys() == means.keys()
    for method, row in shown.items():
        known = means[method]
        assert {name: float(cell) for name, cell in row.items()} == pytest.approx(
            known | {"mean": mean(known.values())}, abs=ROUNDING
        ), method


def test_the_counts_of_twenty_seeds_are_those_of_their_report() -> None:
    report = (ROOT / "results" / "twenty-seeds.md").read_text()
    counts = re.search(r"(\d+) won, (\d+) tied, (\d+) lost of (\d+) .* higher in (\d+)\.", report)
    assert counts
    won, tied, lost, all_of_them, higher = counts.groups()
    assert lost == "1"
    text = " ".join(PAGE.split())
    assert f"{won} of {all_of_them} comparisons are significant wins" in text
    assert f"{tied} are ties; the mean is higher in {higher}." in text


def test_the_report_has_the_same_balanced_accuracies() -> None:
    table = read_table(REPORT, "### Balanced accuracy, %")
    for method, known in read_means().items():
        if method in table:
            cells = {
                name.partition(" ")[0]: float(cell.partition(" ")[0]) for name, cell in table[method].items()
            }
            assert {name: cells[name] for name in known} == pytest.approx(known, abs=ROUNDING), method


def test_the_counts_of_comparisons_are_those_of_the_report() -> None:
    counts = re.search(r"(\d+) won, (\d+) tied, (\d+) lost of (\d+) .* higher in (\d+)\.", REPORT)
    assert counts
    won, _, lost, all_of_them, higher = counts.groups()
    text = " ".join(PAGE.split())
    assert lost == "0"
    assert f"higher mean in {higher} of {all_of_them} comparisons" in text
    assert f"{won} are significant (Holm correction over all of them); none is lost" in text


@pytest.mark.parametrize("workload", WORKLOADS)
def test_the_requests_per_second_are_those_of_the_serving_bench(workload: str) -> None:
    shown = read_table(PAGE, "## Requests per second")[WORKLOADS[workload]]
    section = re.search(rf"^### {re.escape(workload)}: .*?(?=^### |\Z)", SERVING, re.MULTILINE | re.DOTALL)
    assert section
    rates = dict(re.findall(r"^\| 64 +\| (\w+) +\| ([\d,]+) ", section[0], re.MULTILINE))
    assert {name.lower(): cell for name, cell in shown.items()} == rates


def test_the_readme_has_the_same_figures() -> None:
    accuracies = read_table(PAGE, "## Balanced accuracy")
    rates = read_table(PAGE, "## Requests per second")
    means = [accuracies[name]["mean"] for name in ("tailfuse", METHODS["concat"], METHODS["single"])]
    numbers = set(re.findall(r"\d[\d,.]*\d", README))
    assert set(means) <= numbers
    for workload in ("eight columns", "64x64 JPEG + columns"):
        assert {rates[workload][name] for name in ("tailfuse", "mosec", "FastAPI")} <= numbers


def test_its_commands_are_those_that_made_the_tables() -> None:
    commands = re.findall(r"^tailfuse bench .*$", PAGE, re.MULTILINE)
    assert commands
    assert set(commands) <= set((ROOT / "results" / "README.md").read_text().splitlines())


def read_rows(name: str) -> list[dict[str, str]]:
    """Return the rows of a table of results/ that measure all modalities, clean or some missing at random."""
    with (ROOT / "results" / name).open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["balanced_accuracy"] or row["train_seconds"]]
    whole = {row["set"]: row["subset"] for row in sorted(rows, key=lambda row: row["subset"].count("+"))}
    return [
        row
        for row in rows
        if row["subset"] == whole[row["set"]] and row["condition"] in ("clean", "cost", "missing_30")
    ]


def subtract_by_seed(dataset: str, ir: str, method: str) -> list[float]:
    """Return what tailfuse's balanced accuracy has more than another method's, in points by seed."""
    rows = [row for row in read_rows("results.csv") if (row["set"], row["ir"]) == (dataset, ir)]
    found = {
        (row["method"], row["seed"]): 100 * float(row["balanced_accuracy"])
        for row in rows
        if row["condition"] == "clean"
    }
    seeds = sorted(seed for name, seed in found if name == "tailfuse")
    return [found["tailfuse", seed] - found[method, seed] for seed in seeds]


def test_the_losing_cases_are_those_of_the_csv_file() -> None:
    _, _, section = PAGE.partition("## The losing cases")
    lines = re.findall(r"^\| `(\w+)`, (\w+) \| ([\w ]+) \| (\S+) ± (\S+) \| (.*?) \|", section, re.MULTILINE)
    methods = {"best modality alone": "single", "equal weights": "uniform"}
    assert len(lines) == 6
    for dataset, ratio, method, difference, interval, by_seed in lines:
        found = subtract_by_seed(dataset, ratio.replace("own", "0"), methods.get(method, method))
        told = [float(each) for each in by_seed.replace("−", "-").split(", ")]
        assert told == pytest.approx(found, abs=ROUNDING)
        assert float(difference.replace("−", "-")) == pytest.approx(mean(found), abs=ROUNDING)
        t_quantile = 2.776  # 97.5 %, of five seeds
        assert float(interval) == pytest.approx(t_quantile * stdev(found) / 5**0.5, abs=ROUNDING)


@pytest.mark.parametrize(
    ("heading", "file", "n_cells"),
    [
        ("## Rivals on the shared sets", "rivals.csv", 21),
        ("### With two minutes each", "rivals-120.csv", 28),
        ("### Raw text, with five minutes each", "rivals-text.csv", 27),
    ],
)
def test_the_rivals_are_those_of_the_csv_file(heading: str, file: str, n_cells: int) -> None:
    shown = read_table(PAGE, heading)
    rows = {(row["method"], row["set"], row["condition"]): row for row in read_rows(file)}
    told = {(method, name): cell for method, row in shown.items() for name, cell in row.items()}
    assert len(told) == n_cells
    for (method, name), cell in told.items():
        dataset, _, is_missing = name.partition(", 30 % ")
        answers = rows.get((method, dataset, "missing_30" if is_missing else "clean"))
        cost = answers if is_missing else rows.get((method, dataset, "cost"))
        if answers is None or cost is None:
            assert cell == "– / – / – / – / –"
            continue
        rates = [f"{100 * float(answers[each]):.1f}" for each in ("balanced_accuracy", "macro_f1", "few")]
        found = [*rates, f"{float(answers['nll']):.3f}", f"{float(cost['train_seconds']):.1f}"]
        assert cell == " / ".join(found), (method, name)


def test_the_unseen_tables_are_those_of_the_csv_file() -> None:
    shown = read_table(PAGE, "## Tables that no design was chosen on")
    rows = {
        (row["set"], row["method"]): row for row in read_rows("unseen.csv") if row["condition"] == "clean"
    }
    told = {(name, method): cell for name, row in shown.items() for method, cell in row.items()}
    assert {key for key, cell in told.items() if cell != "–"} == set(rows)
    for key, row in rows.items():
        figures = [f"{100 * float(row[each]):.1f}" for each in ("balanced_accuracy", "macro_f1")]
        assert told[key] == " / ".join(figures), key


def test_the_tables_with_a_forest_are_those_of_the_csv_file() -> None:
    section = PAGE[PAGE.index("## The forest of columns") : PAGE.index("## Skewed columns")]
    told = {
        (name, method): cell
        for at in ("| set | forest | no forest |\n", "| set | **tailfuse** | no forest |")
        for name, row in read_table(f"#\n{section[section.index(at) :]}", "#").items()
        for method, cell in row.items()
    }
    rows = {
        (row["set"], row["method"]): row for row in read_rows("forest.csv") if row["condition"] == "clean"
    }
    assert set(told) == {key for key in rows if key[1] != "late logistic regression"}
    for key, cell in told.items():
        rates = [f"{100 * float(rows[key][each]):.1f}" for each in ("balanced_accuracy", "macro_f1")]
        assert cell == " / ".join([*rates, f"{float(rows[key]['nll']):.3f}"]), key


def test_the_skewed_columns_are_those_of_the_csv_file() -> None:
    assert describe_scores(read_scores(ROOT / "results" / "skewed.csv")) in PAGE


@pytest.mark.parametrize("page", ["docs/RESULTS.md", "benchmarks/serving_bench/RESULTS.md"])
def test_each_table_has_its_command_beside_it(page: str) -> None:
    """All but those of the section that says that no command makes them again."""
    text = (ROOT / page).read_text()
    commands = [block.text for block in read_blocks(page) if block.language == "sh"]
    for section in re.split(r"^## ", text, flags=re.MULTILINE):
        title = section.partition("\n")[0]
        if "\n|---" in section and title != "Measured once":
            named = re.search(r"`make [a-z-]+|`tailfuse [a-z]+ |`--servers ", section)
            assert named or any(command in section for command in commands), title
