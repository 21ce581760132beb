"""`tailfuse.score`: shards, their names, and what an earlier call has finished."""

import logging
import os
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
import tailfuse
from tailfuse.api import score as api
from tailfuse.errors import RunError, UserError
from tailfuse.files.lock import lock_folder
from tailfuse.scoring import score_shard
from tailfuse_service.bundle import BundleError

from tests.support.scoring import list_files, run_here, write_shard

JOURNAL = "_score.jsonl"
NOT_UTF8 = b"\xff".decode(errors="surrogateescape")


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "run_in_processes", run_here)


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    """Three tables; two rows of the second cannot be read."""
    write_shard(tmp_path / "in/a.parquet", [61, 20])
    write_shard(tmp_path / "in/b.parquet", [33, "old", None, "young"])
    (tmp_path / "in/c.csv").write_text("id,age\n0,44\n")
    return tmp_path / "in"


def test_answers_are_those_of_predict(tiny_bundle: Path, shards: Path, tmp_path: Path) -> None:
    scoring = tailfuse.score(tiny_bundle, shards, tmp_path / "out", keep="id")
    assert list_files(tmp_path / "out") == {"a.parquet", "b.parquet", "c.parquet", JOURNAL}
    for table in shards.iterdir():
        tailfuse.predict(tiny_bundle, table, tmp_path / "expected.parquet", keep="id", overwrite=True)
        written = pl.read_parquet(tmp_path / "out" / f"{table.stem}.parquet")
        assert written.equals(pl.read_parquet(tmp_path / "expected.parquet"))
        assert written.schema == pl.read_parquet_schema(tmp_path / "expected.parquet")
    counts = scoring.counts
    assert (counts.rows, counts.answered, counts.errors, counts.without_modality) == (7, 4, 2, 1)
    assert sum(counts.classes.values()) == 4
    assert str(counts.first_error).startswith("b.parquet, row 2: modality 'clinical', column 'age'")


def test_finished_shards_are_kept(tiny_bundle: Path, shards: Path, tmp_path: Path) -> None:
    first = tailfuse.score(tiny_bundle, shards, tmp_path / "out")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("*.parquet")}
    write_shard(shards / "d.parquet", [1])
    again = tailfuse.score(tiny_bundle, shards, tmp_path / "out")
    assert (first.kept, again.kept, len(again.records), again.scored_rows) == (0, 3, 4, 1)
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert again.counts.rows == first.counts.rows + 1


def test_a_shard_that_changed_is_scored_again(tiny_bundle: Path, shards: Path, tmp_path: Path) -> None:
    tailfuse.score(tiny_bundle, shards, tmp_path / "out")
    stat = (shards / "a.parquet").stat()
    write_shard(shards / "a.parquet", [61, 20, 5])
    os.utime(shards / "a.parquet", ns=(stat.st_atime_ns, stat.st_mtime_ns))  # as `cp -p` leaves it
    assert tailfuse.score(tiny_bundle, shards, tmp_path / "out").kept == 2
    assert len(pl.read_parquet(tmp_path / "out/a.parquet")) == 3


@pytest.mark.parametrize("damage", ["removed", "cut", "altered"])
def test_answers_that_are_not_as_written_are_written_again(
    tiny_bundle: Path, shards: Path, tmp_path: Path, damage: str
) -> None:
    tailfuse.score(tiny_bundle, shards, tmp_path / "out")
    target = tmp_path / "out/a.parquet"
    expected = target.read_bytes()
    if damage == "removed":
        target.unlink()
    else:
        target.write_bytes(expected[:-9] if damage == "cut" else expected[:-1] + b"?")
    assert tailfuse.score(tiny_bundle, shards, tmp_path / "out").kept == 2
    assert target.read_bytes() == expected


def test_moved_inputs_are_the_same_and_other_inputs_are_refused(
    tiny_bundle: Path, shards: Path, tmp_path: Path
) -> None:
    tailfuse.score(tiny_bundle, shards, tmp_path / "out")
    shards.rename(tmp_path / "moved")
    assert tailfuse.score(tiny_bundle, tmp_path / "moved", tmp_path / "out").kept == 3
    write_shard(tmp_path / "others/a.parquet", [9])
    with pytest.raises(UserError, match=r"out/a\.parquet: holds the answers to .*moved/a\.parquet, not to"):
        tailfuse.score(tiny_bundle, tmp_path / "others", tmp_path / "out")
    assert len(pl.read_parquet(tmp_path / "out/a.parquet")) == 2


def test_answers_of_another_bundle_or_with_other_options_are_refused(
    tiny_bundle: Path, next_bundle: Path, shards: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    tailfuse.score(tiny_bundle, shards, out)
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    with pytest.raises(RunError, match=r"the bundle skin-lesions 3 \(\w+\), and this is skin-lesions 4"):
        tailfuse.score(next_bundle, shards, out)
    with pytest.raises(RunError, match=r"prior None, and this is 'training'"):
        tailfuse.score(tiny_bundle, shards, out, prior="training")
    with pytest.raises(RunError, match=r"keep \(\), and this is \('id',\)"):
        tailfuse.score(tiny_bundle, shards, out, keep="id")
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


def test_overwrite_removes_all_answers_of_the_earlier_bundle(
    tiny_bundle: Path, next_bundle: Path, shards: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    tailfuse.score(tiny_bundle, shards, out)
    (out / "mine.parquet").write_bytes(b"mine")
    scoring = tailfuse.score(next_bundle, shards / "a.parquet", out, overwrite=True)
    assert list_files(out) == {"a.parquet", "mine.parquet", JOURNAL}
    assert (scoring.kept, scoring.other_shards) == (0, 0)
    tailfuse.predict(next_bundle, shards / "a.parquet", tmp_path / "expected.parquet")
    assert pl.read_parquet(out / "a.parquet").equals(pl.read_parquet(tmp_path / "expected.parquet"))


def test_a_file_of_somebody_else_is_never_replaced(tiny_bundle: Path, shards: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "b.parquet").write_bytes(b"mine")
    with pytest.raises(UserError, match=r"b\.parquet: exists already; --overwrite replaces it"):
        tailfuse.score(tiny_bundle, shards, out)
    assert list_files(out) == {"b.parquet"}
    for inside in (shards, shards / "out"):
        with pytest.raises(UserError, match="inside the input folder"):
            tailfuse.score(tiny_bundle, shards, inside)
    with pytest.raises(UserError, match="is the table that is read"):
        tailfuse.score(tiny_bundle, shards / "a.parquet", shards, overwrite=True)
    with pytest.raises(UserError, match="is not a folder"):
        tailfuse.score(tiny_bundle, shards, out / "b.parquet")


def test_increments_go_to_one_folder(
    tiny_bundle: Path, shards: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tailfuse.score(tiny_bundle, shards / "a.parquet", tmp_path / "out")
    scoring = tailfuse.score(tiny_bundle, [shards / "b.parquet"], tmp_path / "out")
    assert (scoring.other_shards, len(scoring.records)) == (1, 1)
    assert "also holds 1 shards of other inputs" in caplog.text


def test_names_of_folders_are_kept_and_equal_names_are_refused(
    tiny_bundle: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    names = [
        "2025/a.parquet",
        "2026/a.parquet",
        "Größe/日本 [1].parquet",
        ".hidden/x.parquet",
        "_tmp/x.parquet",
    ]
    for at, name in enumerate(names):
        write_shard(tmp_path / "in" / name, [20 + at])
    (tmp_path / "in/2025/a.png").write_bytes(b"image")
    (tmp_path / "in/2026/.a.parquet.part").write_bytes(b"half")
    tailfuse.score(tiny_bundle, tmp_path / "in", tmp_path / "out")
    assert list_files(tmp_path / "out") == {*names[:3], JOURNAL}
    assert "1 files or links are no tables and are not scored" in caplog.text
    both = [tmp_path / "in/2025/a.parquet", tmp_path / "in/2026/a.parquet"]
    with pytest.raises(
        UserError, match=r"would both be answered in a\.parquet; give the folder that holds both"
    ):
        tailfuse.score(tiny_bundle, both, tmp_path / "other")
    with pytest.raises(UserError, match="is given twice"):
        tailfuse.score(tiny_bundle, [tmp_path / "in", both[0]], tmp_path / "other")
    assert len(tailfuse.score(tiny_bundle, [both[0], both[0]], tmp_path / "other").names) == 1
    (tmp_path / "in/2025/a.csv").write_text("age\n3\n")
    with pytest.raises(UserError, match="would both be answered"):
        tailfuse.score(tiny_bundle, tmp_path / "in", tmp_path / "other")


@pytest.mark.parametrize(
    ("paths", "said"),
    [([], "no table to score"), (["none.parquet"], "no such file"), (["notes.txt"], "told by its ending"),
     (["empty"], "no table to score"), ([f"{NOT_UTF8}/a.csv"], "not UTF-8"), (["in"], "not UTF-8")],
)  # fmt: skip
def test_inputs_that_are_no_tables_are_refused(
    tiny_bundle: Path,
    shards: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    paths: list[str],
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("age\n1\n")
    (tmp_path / NOT_UTF8).mkdir()
    for table in (shards / f"{NOT_UTF8}.csv", tmp_path / NOT_UTF8 / "a.csv"):
        table.write_text("age\n1\n")
    with pytest.raises(UserError, match=said):
        tailfuse.score(tiny_bundle, paths, "out")
    assert not (tmp_path / "out").exists()


def test_a_bundle_that_cannot_be_used_leaves_nothing_behind(
    tiny_bundle: Path, shards: Path, tmp_path: Path
) -> None:
    with pytest.raises(BundleError, match="is not a bundle"):
        tailfuse.score(tmp_path, shards, tmp_path / "out")
    with pytest.raises(BundleError, match="prior 'odd' is none of"):
        tailfuse.score(tiny_bundle, shards, tmp_path / "out", prior="odd")
    with pytest.raises(BundleError, match="runtime 'onx' is none of onnx, torchscript"):
        tailfuse.score(tiny_bundle, shards, tmp_path / "out", runtime="onx")  # type: ignore[arg-type]
    with pytest.raises(BundleError, match=r"has no model\.ts"):
        tailfuse.score(tiny_bundle, shards, tmp_path / "out", runtime="torchscript")
    with pytest.raises(ValueError, match="must be at least 1"):
        tailfuse.score(tiny_bundle, shards, tmp_path / "out", processes=0)
    assert not (tmp_path / "out").exists()


def test_a_table_that_cannot_be_scored_spares_the_others(
    tiny_bundle: Path, shards: Path, tmp_path: Path
) -> None:
    """Half a file, other columns, a column of the wrong type, and a text that does not fit its header."""
    (shards / "half.parquet").write_bytes((shards / "a.parquet").read_bytes()[:-20])
    pl.DataFrame({"colour": ["red"]}).write_parquet(shards / "other.parquet")
    pl.DataFrame({"age": [[1]]}).write_parquet(shards / "typed.parquet")
    (shards / "lines.csv").write_text("id,age\n1,2,3\n")
    with pytest.raises(tailfuse.ScoringError) as caught:
        tailfuse.score(tiny_bundle, shards, tmp_path / "out")
    assert str(caught.value).startswith("4 of 7 shards failed; the first is ")
    scoring = caught.value.scoring
    said = {
        "half.parquet": "cannot be read", "other.parquet": "the table has no column of this model",
        "typed.parquet": "column 'age': holds list", "lines.parquet": "line 2: 3 values, 2 columns",
    }  # fmt: skip
    assert list(scoring.failed) == ["half.parquet", "lines.parquet", "other.parquet", "typed.parquet"]
    for name, why in said.items():
        assert why in scoring.failed[name]
        assert scoring.failed[name].startswith(str(shards))
    assert list_files(tmp_path / "out") == {"a.parquet", "b.parquet", "c.parquet", JOURNAL}
    for name in ("half.parquet", "other.parquet", "typed.parquet", "lines.csv"):
        (shards / name).unlink()
    assert tailfuse.score(tiny_bundle, shards, tmp_path / "out").kept == 3


def test_answers_to_what_a_table_was_before_are_pointed_out(
    tiny_bundle: Path, shards: Path, tmp_path: Path
) -> None:
    tailfuse.score(tiny_bundle, shards, tmp_path / "out")
    (shards / "a.parquet").write_bytes(b"PAR1")
    with pytest.raises(tailfuse.ScoringError, match=r"out/a\.parquet still has earlier answers"):
        tailfuse.score(tiny_bundle, shards, tmp_path / "out")


def test_tables_without_rows_have_answers_without_rows(tiny_bundle: Path, tmp_path: Path) -> None:
    write_shard(tmp_path / "in/none.parquet", [])
    write_shard(tmp_path / "in/some.parquet", [1])
    (tmp_path / "in/header.csv").write_text("id,age\n")
    pl.DataFrame({"id": [], "age": []}, schema={"id": pl.Int64, "age": pl.String}).write_ipc(
        tmp_path / "in/none2.feather"
    )
    scoring = tailfuse.score(tiny_bundle, tmp_path / "in", tmp_path / "out", keep="id")
    assert scoring.counts.rows == 1
    schemas = {
        name: pl.read_parquet_schema(tmp_path / "out" / f"{name}.parquet") for name in ("none", "some")
    }
    assert schemas["none"] == schemas["some"]
    for name in ("none", "header", "none2"):
        assert len(pl.read_parquet(tmp_path / "out" / f"{name}.parquet")) == 0
    assert len(pl.read_parquet(tmp_path / "out/*.parquet", columns=["row", "label", "error"])) == 1


def test_a_table_that_is_written_meanwhile_has_no_answers(
    tiny_bundle: Path, shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = score_shard.read_shard

    def append(path: Path, *arguments: object) -> object:
        pieces = list(read(path, *arguments))  # type: ignore[arg-type]
        if path.name == "c.csv":
            with path.open("a") as file:
                file.write("1,50\n")
        return iter(pieces)

    monkeypatch.setattr(score_shard, "read_shard", append)
    with pytest.raises(tailfuse.ScoringError, match=r"c\.csv: was written to while it was read"):
        tailfuse.score(tiny_bundle, shards, tmp_path / "out")
    assert list_files(tmp_path / "out") == {"a.parquet", "b.parquet", JOURNAL}
    monkeypatch.undo()
    monkeypatch.setattr(api, "run_in_processes", run_here)
    assert tailfuse.score(tiny_bundle, shards, tmp_path / "out").kept == 2
    assert len(pl.read_parquet(tmp_path / "out/c.parquet")) == 2


def test_a_folder_is_written_by_one_process(tiny_bundle: Path, shards: Path, tmp_path: Path) -> None:
    with lock_folder(tmp_path / "out"), pytest.raises(RunError, match="another tailfuse score is writing"):
        tailfuse.score(tiny_bundle, shards, tmp_path / "out")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda lines: [*lines, b'{"name": "x'], None),  # half of a line: the process was killed
        (lambda lines: [lines[0], b"?", *lines[1:]], "line 2 is damaged"),
        (lambda lines: [b'{"format": 2}', *lines[1:]], "line 1 is damaged"),
        (
            lambda lines: [lines[0], lines[1].replace(b'"a.parquet"', b'"../a.parquet"'), b""],
            "line 2 is damaged",
        ),
        (lambda lines: [b'{"for'], "exists already"),
    ],
)
def test_a_manifest_that_is_damaged_is_refused(
    tiny_bundle: Path,
    shards: Path,
    tmp_path: Path,
    change: Callable[[list[bytes]], list[bytes]],
    said: str | None,
) -> None:
    out = tmp_path / "out"
    tailfuse.score(tiny_bundle, shards / "a.parquet", out)
    (out / JOURNAL).write_bytes(b"\n".join(change((out / JOURNAL).read_bytes().splitlines())))
    if said is None:
        assert tailfuse.score(tiny_bundle, shards, out).kept == 1
        assert (out / JOURNAL).read_bytes().endswith(b"}\n")
    else:
        with pytest.raises(UserError, match=said):
            tailfuse.score(tiny_bundle, shards, out)
        assert tailfuse.score(tiny_bundle, shards, out, overwrite=True).kept == 0


def test_a_warning_of_many_shards_is_given_once(
    tiny_bundle: Path, shards: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "tailfuse"):
        tailfuse.score(tiny_bundle, shards, tmp_path / "out")
    said = [record.getMessage() for record in caplog.records if "no column 'pulse'" in record.getMessage()]
    ours = [
        message for message in said if message.startswith(("a.parquet", "b.parquet", "c.parquet", "also"))
    ]
    assert len(ours) == 2
    assert ours[1].startswith("also in 2 of the other shards: modality 'clinical'")
