"""Small tables as people have them, trained and evaluated: one odd cell does not cost the others."""

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from click.testing import CliRunner
from tailfuse.cli import main
from tailfuse_service.bundle import read_manifest

pytestmark = pytest.mark.slow

SPEC = """name: case
table: {table}
label: label
split: {{val: 0.1, test: 0.2}}
modalities:
  m: {{kind: tabular, columns: [{columns}], types: {{{types}}}}}
training: {{epochs: 40, folds: {folds}}}
"""


def train(folder: Path, table: str, columns: str, types: str = "", folds: int = 0) -> Any:
    """Train on a table of the folder; return what the command did."""
    (folder / "spec.yaml").write_text(SPEC.format(table=table, columns=columns, types=types, folds=folds))
    return CliRunner().invoke(main, ["train", str(folder / "spec.yaml"), "--out", str(folder / "run")])


def evaluate(folder: Path, table: str) -> float:
    """Return the balanced accuracy of all rows of a table."""
    arguments = ["evaluate", str(folder / "run" / "bundle"), str(folder / table), "--json", "--overwrite"]
    done = CliRunner().invoke(main, [*arguments, "--out", str(folder / "evaluation.json")])
    assert done.exit_code == 0, done.output
    figures: dict[str, Any] = json.loads((folder / "evaluation.json").read_text())
    return float(figures["subsets"]["m"]["balanced_accuracy"])


def write(path: Path, header: str, rows: Sequence[Sequence[object]]) -> None:
    """Write a .csv whose cells need no quotes."""
    path.write_text("\n".join([header, *(",".join(map(str, row)) for row in rows)]) + "\n")


def make_numbers() -> list[float]:
    draw = random.Random(3)
    return [round(draw.uniform(0, 100), 2) for _ in range(200)]


@pytest.mark.parametrize(
    ("spell", "said"),
    [
        (lambda at, x: f"{x:.2f}", ""),
        (lambda at, x: "07.25" if at == 5 else f"{x:.2f}", "row 6 is '07.25'"),
        (lambda at, x: f'"{x:.2f}"'.replace(".", ","), "read as a number"),
        (lambda at, x: f" {x:.2f} " if at % 3 else f"{x:.2f}", ""),
        (lambda at, x: f"{x:.2f} €", "read as a number"),
        (lambda at, x: f"{x:e}", ""),
    ],
    ids=["plain", "one padded", "decimal comma", "spaces", "currency", "exponents"],
)
def test_a_number_tells_the_class_however_it_is_spelled(tmp_path: Path, spell: Any, said: str) -> None:
    numbers = make_numbers()
    rows = [(spell(at, x), "high" if x > 50 else "low") for at, x in enumerate(numbers)]
    if said.startswith("row 6"):
        rows[5] = (rows[5][0], "low")
    write(tmp_path / "table.csv", "amount,label", rows)
    done = train(tmp_path, "table.csv", "amount")
    assert done.exit_code == 0, done.output
    assert said in done.output
    assert evaluate(tmp_path, "table.csv") > 0.95


def test_one_cell_that_is_no_number_stops_with_its_row_and_value(tmp_path: Path) -> None:
    rows: list[tuple[object, str]] = [(x, "high" if x > 50 else "low") for x in make_numbers()]
    write(tmp_path / "table.csv", "amount,label", [*rows[:7], ("12 kg", "low"), *rows[7:]])
    done = train(tmp_path, "table.csv", "amount")
    assert done.exit_code == 1
    assert "column 'amount': 200 of 201 values are numbers, but row 8 is '12 kg'" in done.output


def test_codes_that_look_like_numbers_stay_apart(tmp_path: Path) -> None:
    draw = random.Random(3)
    codes = {"250.0": "acute", "250.00": "chronic", "401.9": "acute", "401.90": "chronic"}
    picked = draw.choices(list(codes), k=200)
    write(tmp_path / "table.csv", "icd,label", [(code, codes[code]) for code in picked])
    assert train(tmp_path, "table.csv", "icd", "icd: category").exit_code == 0
    assert evaluate(tmp_path, "table.csv") == 1.0


@pytest.mark.parametrize("other", ["outside", "99.0", "", "TRUE"])
def test_an_unseen_category_changes_no_other_row(tmp_path: Path, other: str) -> None:
    draw = random.Random(3)
    zones = {"1.0": "low", "2.0": "mid", "3.0": "high"}
    picked = draw.choices(list(zones), k=200)
    write(tmp_path / "table.csv", "zone,label", [(zone, zones[zone]) for zone in picked])
    assert train(tmp_path, "table.csv", "zone", "zone: category").exit_code == 0
    answers = []
    for name, extra in (("plain", []), ("odd", [(other, "x")])):
        write(tmp_path / f"{name}.csv", "zone,note", [("1.0", "a"), ("2", "b"), ("3e0", "c"), *extra])
        bundle, out = tmp_path / "run" / "bundle", tmp_path / f"{name}-answers.csv"
        done = CliRunner().invoke(
            main, ["predict", str(bundle), str(tmp_path / f"{name}.csv"), "-o", str(out)]
        )
        assert done.exit_code == 0, done.output
        answers.append(pl.read_csv(out).head(3).drop("error", strict=False).rows())
    assert answers[0] == answers[1]
    assert [row[1] for row in answers[0]] == ["low", "mid", "high"]


def test_a_boolean_label_keeps_its_spelling_and_is_evaluated(tmp_path: Path) -> None:
    draw = random.Random(3)
    rows = [(round(draw.gauss(4 * (at % 3 == 0), 1), 3), at % 3 == 0) for at in range(150)]
    write(tmp_path / "table.csv", "x,label", rows)
    assert train(tmp_path, "table.csv", "x").exit_code == 0
    assert read_manifest(tmp_path / "run" / "bundle").class_names == ["False", "True"]
    of_csv = evaluate(tmp_path, "table.csv")
    assert of_csv > 0.9
    pl.read_csv(tmp_path / "table.csv").write_parquet(tmp_path / "table.parquet")  # a column of booleans
    assert evaluate(tmp_path, "table.parquet") == of_csv


def test_na_means_the_same_in_csv_and_parquet_and_is_warned_of(tmp_path: Path) -> None:
    draw = random.Random(3)
    labels = {"NA": "x", "EU": "y", "AS": "z"}
    picked = draw.choices(["NA", "NA", "EU", "AS"], k=150)
    table = pl.DataFrame(
        {"continent": picked, "noise": make_numbers()[:150], "label": [labels[c] for c in picked]}
    )
    table.write_csv(tmp_path / "table.csv")
    table.write_parquet(tmp_path / "table.parquet")
    modalities = []
    for name in ("table.csv", "table.parquet"):
        done = train(tmp_path, name, "continent, noise")
        assert done.exit_code == 0, done.output
        assert "'NA' in" in done.output
        modalities.append(read_manifest(tmp_path / "run" / "bundle").modalities["m"])
        (tmp_path / "run").rename(tmp_path / f"run-{name}")
    assert modalities[0] == modalities[1]


def test_a_category_tells_the_class_if_there_are_hundreds(tmp_path: Path) -> None:
    draw = random.Random(3)
    shops = {f"shop{at:03d}": draw.choice("ab") for at in range(400)}
    rows = [(shop, label) for shop, label in shops.items() for _ in range(5)]
    draw.shuffle(rows)
    write(tmp_path / "table.csv", "shop,label", rows)
    # With folds: else all rows of some shops are unlike every row that the confidence was fitted on.
    assert train(tmp_path, "table.csv", "shop", folds=2).exit_code == 0
    assert evaluate(tmp_path, "table.csv") > 0.97
