"""`tailfuse predict` of a table: formats, kept columns, unreadable cells, files that are never lost."""

import json
import logging
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from click.testing import CliRunner, Result
from PIL import Image
from tailfuse.cli import main
from tailfuse_service.bundle import pack, read_manifest

from tests.support.command import TAILFUSE
from tests.support.process import ran

HEADER = "id,image,age,pulse,smoker,site,title,review\n"
ROWS = HEADER + "a7,,61,70,true,back,dark,\n007,,,,,,,\nNA,,40,71,0,face,,round\n"


@pytest.fixture
def predict(tiny_bundle: Path, tmp_path: Path) -> Callable[..., Result]:
    def run(table: str | Path, *arguments: object) -> Result:
        if isinstance(table, str):
            (tmp_path / "table.csv").write_text(table)
            table = tmp_path / "table.csv"
        done = CliRunner().invoke(main, ["predict", str(tiny_bundle), str(table), *map(str, arguments)])
        assert not isinstance(done.exception, AssertionError | TypeError | KeyError), done.exception
        return done

    return run


def read(path: Path) -> pl.DataFrame:
    """The answers, whatever their format; a .csv as text."""
    if path.suffix == ".parquet":
        return pl.read_parquet(path)
    return pl.read_ndjson(path) if path.suffix == ".jsonl" else pl.read_csv(path, infer_schema=False)


@pytest.mark.parametrize("ending", [".csv", ".parquet", ".jsonl", ".CSV"])
def test_the_ending_of_out_is_the_format(predict: Callable[..., Result], tmp_path: Path, ending: str) -> None:
    out = tmp_path / f"answers{ending}"
    assert predict(ROWS, "--out", out, "--keep", "id").exit_code == 0
    answers = read(out)
    assert answers["id"].to_list() == ["a7", "007", "NA"]
    assert [str(row) for row in answers["row"]] == ["1", "2", "3"]
    assert answers["label"].is_null().to_list() == [False, True, False]
    assert answers["weight.image"][0] in (0, "0.0")
    assert not answers["error"].drop_nulls().len()
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_an_ending_that_is_no_format_is_refused(predict: Callable[..., Result], tmp_path: Path) -> None:
    for name in ("answers.txt", "answers", "answers.json", "answers.xlsx", "answers.csv.gz"):
        done = predict(ROWS, "--out", tmp_path / name)
        assert done.exit_code == 1
        assert ".csv, .parquet, .jsonl" in done.output
        assert not (tmp_path / name).exists()


@pytest.mark.parametrize("ending", [".csv", ".parquet", ".jsonl", ".tsv", ".feather"])
def test_a_table_of_any_format_is_answered_alike(
    predict: Callable[..., Result], tmp_path: Path, ending: str
) -> None:
    predict(ROWS, "--out", tmp_path / "expected.parquet")
    columns: dict[str, Any] = {
        "age": [61, None, 40], "pulse": [70, None, 71], "smoker": [True, None, False],
        "site": ["back", None, "face"], "title": ["dark", None, None], "review": [None, None, "round"],
    }  # fmt: skip
    table, path = pl.DataFrame(columns), tmp_path / f"in{ending}"
    if ending in (".csv", ".tsv"):
        table.write_csv(path, separator="\t" if ending == ".tsv" else ",")
    else:
        write: dict[str, Callable[..., object]] = {
            ".parquet": table.write_parquet,
            ".jsonl": table.write_ndjson,
            ".feather": table.write_ipc,
        }
        write[ending](path)
    done = predict(path, "--out", tmp_path / "answers.parquet")
    assert done.exit_code == 0, done.output
    assert read(tmp_path / "answers.parquet").equals(read(tmp_path / "expected.parquet"))


def test_an_unreadable_cell_costs_its_row_alone(predict: Callable[..., Result], tmp_path: Path) -> None:
    """Of 3,000 rows, several in one column, two in one row, and one in each modality."""
    rows = [f"{at},,{40 + at % 9},70,true,back,dark,\n" for at in range(3000)]
    Image.new("RGB", (9, 9)).save(tmp_path / "fine.png")
    (tmp_path / "broken.png").write_bytes(b"no image")
    bad = {
        0: ",,old,70,true,back,dark,\n",
        5: ",,1e999,70,true,back,dark,\n",
        6: ",none.png,50,70,true,back,dark,\n",
        1023: ",broken.png,50,70,true,back,dark,\n",
        1024: ",,old,young,true,back,dark,\n",
        2999: ",fine.png,50,70,maybe,back,dark,\n",
    }
    for at, row in bad.items():
        rows[at] = row
    out = tmp_path / "answers.parquet"
    done = predict(HEADER + "".join(rows), "--out", out)
    assert done.exit_code == 3
    assert (
        "6 of 3,000 rows have an error; the first is row 1: modality 'clinical', column 'age'" in done.stderr
    )
    answers = read(out)
    assert answers.filter(pl.col("error").is_not_null())["row"].to_list() == [at + 1 for at in bad]
    assert (answers["error"].is_null() == answers["label"].is_not_null()).all()
    errors = answers["error"].drop_nulls().to_list()
    for error, said in zip(
        errors, ["'old'", "1e999", "none.png", "broken.png", "'old'", "'maybe'"], strict=True
    ):
        assert said in error
        assert not error.startswith("row")
    assert answers["probability"][1] == answers["probability"][10] == answers["probability"][1009]


def test_answers_do_not_depend_on_the_rows_beside_them(
    predict: Callable[..., Result], tmp_path: Path
) -> None:
    rows = [f"x,,{at},70,true,back,dark {at},\n" for at in range(50)]
    predict(HEADER + "".join(rows), "--out", tmp_path / "clean.parquet")
    predict(HEADER + "x,,old,,,,,\n".join(["", *rows]), "--out", tmp_path / "mixed.parquet")
    mixed = read(tmp_path / "mixed.parquet").filter(pl.col("error").is_null())
    assert mixed.drop("row").equals(read(tmp_path / "clean.parquet").drop("row"))


def test_a_column_of_the_wrong_type_refuses_the_table(predict: Callable[..., Result], tmp_path: Path) -> None:
    pl.DataFrame({"age": [[1.0], [2.0]], "site": ["back", "back"]}).write_parquet(tmp_path / "in.parquet")
    done = predict(tmp_path / "in.parquet", "--out", tmp_path / "answers.csv")
    assert done.exit_code == 1
    assert "column 'age': holds list" in done.output
    assert not (tmp_path / "answers.csv").exists()


def test_a_missing_column_counts_as_missing_and_is_warned_of_once(
    predict: Callable[..., Result], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rows = range(3000)
    done = predict(
        "id,Age,pulse,smoker,site\n" + "".join(f"{at},61,70,1,back\n" for at in rows),
        "--out", tmp_path / "some.parquet",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    clinical, *others = [
        record.getMessage() for record in caplog.records if "no column" in record.getMessage()
    ]
    assert clinical.startswith("modality 'image': the table has no column 'image'; it is absent in every row")
    assert "no column 'age'; its cells count as missing; did you mean 'Age'?" in others[0]
    assert len(others) == 2
    predict(HEADER + "x,,,70,1,back,,\n", "--out", tmp_path / "all.parquet")
    assert read(tmp_path / "some.parquet")["probability"].unique().to_list() == (
        read(tmp_path / "all.parquet")["probability"].to_list()
    )


def test_a_table_of_something_else_is_refused(predict: Callable[..., Result], tmp_path: Path) -> None:
    done = predict("a,b\n1,2\n", "--out", tmp_path / "answers.csv")
    assert done.exit_code == 1
    assert "no column of this model, which reads 'image', 'age', 'pulse'" in done.output
    assert not (tmp_path / "answers.csv").exists()
    assert "no row has any modality" in predict(HEADER + "a,,,,,,,\n", "--out", tmp_path / "a.csv").output
    assert "has no rows" in predict(HEADER, "--out", tmp_path / "a.csv").output
    assert not (tmp_path / "a.csv").exists()


@pytest.mark.parametrize(
    ("keep", "kept"),
    [
        (["id"], ["id"]),
        (["site,id"], ["id", "site"]),
        (["id", "--keep", "s*"], ["id", "smoker", "site"]),
        (["all"], HEADER.strip().split(",")),
    ],
)
def test_kept_columns_are_copied_as_they_stand(
    predict: Callable[..., Result], tmp_path: Path, keep: list[str], kept: list[str]
) -> None:
    predict(ROWS, "--out", tmp_path / "answers.csv", "--keep", *keep)
    answers = read(tmp_path / "answers.csv")
    assert answers.columns[: len(kept) + 2] == ["row", *kept, "label"]
    given = pl.read_csv(tmp_path / "table.csv", infer_schema=False)
    assert answers.select(kept).equals(given.select(kept))


def test_a_kept_column_with_the_name_of_an_answer_gets_another(
    predict: Callable[..., Result], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    table = 'label,table.label,row,age,"a,b"\nnv,x,9,61,z\n'
    assert predict(table, "--keep", "all", "--out", tmp_path / "answers.csv").exit_code == 0
    assert read(tmp_path / "answers.csv").columns[:6] == [
        "row", "table.table.label", "table.label", "table.row", "age", "a,b",
    ]  # fmt: skip
    assert "column 'label' of the table is written as 'table.table.label'" in caplog.text
    assert predict(table, "--keep", "a,b", "--out", tmp_path / "one.csv").exit_code == 0
    assert "no column 'labl'; did you mean 'label'?" in predict(table, "--keep", "labl").output


def test_a_kept_column_that_the_format_cannot_hold_is_named(
    predict: Callable[..., Result], tmp_path: Path
) -> None:
    table = pl.DataFrame({"age": [61.0], "raw": [b"\xff"], "days": [[1, 2]], "at": ["x"]})
    table.write_parquet(tmp_path / "in.parquet")
    for ending, column, code in (
        (".csv", "raw", 1), (".csv", "days", 1),
        (".jsonl", "raw", 1), (".jsonl", "days", 0), (".parquet", "raw", 0),
    ):  # fmt: skip
        out = tmp_path / f"{column}{ending}"
        done = predict(tmp_path / "in.parquet", "--keep", f"at,{column}", "--out", out)
        assert done.exit_code == code, done.output
        assert out.exists() == (code == 0)
        assert code == 0 or f"--keep: column '{column}' holds" in done.output
    assert read(tmp_path / "raw.parquet")["raw"].to_list() == [b"\xff"]


def test_the_counts_are_json(predict: Callable[..., Result], tmp_path: Path) -> None:
    done = predict(ROWS + "b,,old,,,,,\n", "--out", tmp_path / "answers.csv", "--json")
    counts = json.loads(done.stdout)
    assert (counts["rows"], counts["answered"], counts["without_modality"], counts["errors"]) == (4, 2, 1, 1)
    assert sum(counts["classes"].values()) == 2
    assert list(counts["classes"]) == ["nv", "mel", "bkl"]
    assert done.exit_code == 3
    assert predict(ROWS, "--json").exit_code == 2


def test_no_file_is_lost(predict: Callable[..., Result], tmp_path: Path) -> None:
    out = tmp_path / "answers.csv"
    out.write_text("precious")
    assert "--overwrite" in predict(ROWS, "--out", out).output
    assert "is the table that is read" in predict(ROWS, "--out", tmp_path / "table.csv", "--overwrite").output
    assert "is not a regular file" in predict(ROWS, "--out", "/dev/null", "--overwrite").output
    assert "No such file or directory" in predict(ROWS, "--out", tmp_path / "none" / "a.csv").output
    predict(HEADER + 'a,"', "--out", out, "--overwrite")  # not a table
    assert out.read_text() == "precious"
    assert predict(ROWS, "--out", out, "--overwrite").exit_code == 0
    assert out.read_text().startswith("row,label,")


@pytest.mark.parametrize(("of", "kept"), [("part.csv", 1), ("other.csv", 0), ("folder/answers.csv", 0)])
def test_a_part_of_the_table_is_never_replaced(
    predict: Callable[..., Result], tmp_path: Path, of: str, kept: int
) -> None:
    """A file that is beside the parts, or below them, is none."""
    table = tmp_path / "table"
    (table / "folder").mkdir(parents=True)
    (table / "part.csv").write_text(ROWS)
    (tmp_path / "other.csv").write_text(ROWS)
    out = tmp_path / of if of == "other.csv" else table / of
    out.write_text(ROWS)
    done = predict(table, "--out", out, "--overwrite")
    assert done.exit_code == kept, done.output
    assert ("part.csv: is a part of the table that is read" in done.output) == bool(kept)
    assert (out.read_text() == ROWS) == bool(kept)


@pytest.mark.parametrize("named", ["clinical=@{}", "image={}", "image=@{}"])
def test_a_file_of_an_input_is_never_replaced(tiny_bundle: Path, tmp_path: Path, named: str) -> None:
    value = tmp_path / "value.json"
    value.write_text("{}")
    options = ["--input", named.format(value), "--out", str(value), "--overwrite"]
    done = CliRunner().invoke(main, ["predict", str(tiny_bundle), *options])
    assert done.exit_code == 1
    assert "value.json: is a file that is read; write to another file" in done.output
    assert value.read_text() == "{}"


@pytest.mark.parametrize("text", ["a" * 5000, "a\0b"])
def test_a_text_that_is_no_path_is_a_text(tiny_bundle: Path, tmp_path: Path, text: str) -> None:
    options = ["--input", f"notes={text}", "--out", str(tmp_path / "answer.json")]
    assert "Written" in CliRunner().invoke(main, ["predict", str(tiny_bundle), *options]).output


def test_an_image_of_the_table_is_never_replaced(
    tiny_bundle: Path, predict: Callable[..., Result], tmp_path: Path
) -> None:
    image = tmp_path / "classes" / "nv" / "1.png"
    image.parent.mkdir(parents=True)
    Image.new("RGB", (9, 9)).save(image)
    before = image.read_bytes()
    done = predict(tmp_path / "classes", "--out", image, "--overwrite")
    assert done.exit_code == 1
    assert "1.png: is a part of the table that is read" in done.output
    assert image.read_bytes() == before


def test_the_bundle_is_never_changed(tiny_bundle: Path, tmp_path: Path) -> None:
    """A file that is new in its folder would make it invalid."""
    bundle, archive = tmp_path / "bundle", tmp_path / "bundle.zip"
    shutil.copytree(tiny_bundle, bundle)
    pack(bundle, archive)
    before = archive.read_bytes()
    (tmp_path / "table.csv").write_text(ROWS)
    sample, table = ("--input", "clinical={}"), (str(tmp_path / "table.csv"),)
    for source, name, rows, said in (
        (bundle, "bundle/manifest.json", sample, "is inside the bundle that is read"),
        (bundle, "bundle/new.json", sample, "is inside the bundle that is read"),
        (bundle, "bundle/new.csv", table, "is inside the bundle that is read"),
        (archive, "bundle.zip", sample, "is the bundle that is read"),
    ):
        command = ["predict", str(source), *rows, "--out", str(tmp_path / name), "--overwrite"]
        done = CliRunner().invoke(main, command)
        assert done.exit_code == 1
        assert said in done.output
    assert read_manifest(bundle) == read_manifest(tiny_bundle)
    assert archive.read_bytes() == before


@pytest.mark.parametrize(
    ("what", "out"), [(["table.csv"], "answers.csv"), (["--input", 'clinical={"age": 61}'], "answer.json")]
)
def test_a_closed_stdout_is_one_clear_error(
    tiny_bundle: Path, tmp_path: Path, what: list[str], out: str
) -> None:
    (tmp_path / "table.csv").write_text(ROWS)
    command = shlex.join([TAILFUSE, "predict", str(tiny_bundle), *what])
    done = ran("sh", "-c", f"{command} >&-", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr == "Error: standard output is closed; write to a file with --out\n"
    assert ran("sh", "-c", f"{command} --out {out} >&-", cwd=tmp_path).returncode == 0  # nothing to print
    assert (tmp_path / out).exists()


def test_without_out_the_answers_are_printed_as_csv(predict: Callable[..., Result], tmp_path: Path) -> None:
    predict(ROWS, "--out", tmp_path / "answers.csv")
    assert predict(ROWS).stdout == (tmp_path / "answers.csv").read_text()


def test_help_names_the_exit_statuses(predict: Callable[..., Result]) -> None:
    assert "Exit status: 0" in CliRunner().invoke(main, ["predict", "--help"]).output


@pytest.fixture(autouse=True)
def _warnings_reach_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "tailfuse")
