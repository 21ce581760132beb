"""Each step of the command line is one call of the Python API: first specs, signatures, the quick-start."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import tailfuse
from click.testing import CliRunner
from tailfuse.cli import COMMANDS, main
from tailfuse.errors import UserError
from tailfuse_service.bundle import BundleError, open_bundle

from tests.support.bundles import write_tiny_bundle

STEPS: dict[str, str] = {
    "demo": "write_quickstart",
    "init": "infer_spec",
    "train": "train",
    "evaluate": "evaluate",
    "compare": "compare_bundles",
    "cross-validate": "cross_validate",
    "tune": "tune",
    "export": "export_run",
    "adapt": "adapt_bundle",
    "sign": "sign_bundle",
    "push": "push",
    "pull": "pull",
    "predict": "predict",
    "score": "score",
}
PROGRAMS = {"serve", "call", "bench", "completion"}  # a server, its client, a bench, and a part of the shell


def write_table(folder: Path, name: str = "table.csv", separator: str = ",") -> Path:
    days = {
        "gusts": [day % 7 / 7 for day in range(60)],
        "weather": ["calm" if day % 3 else "windy" for day in range(60)],
    }
    pl.DataFrame(days).write_csv(folder / name, separator=separator)
    return folder / name


def test_every_command_is_a_call_or_a_program_of_its_own() -> None:
    assert STEPS.keys() | PROGRAMS == COMMANDS.keys()
    assert set(STEPS.values()) <= set(tailfuse.__all__)


def test_the_command_writes_and_prints_what_the_call_returns(tmp_path: Path) -> None:
    table = write_table(tmp_path)
    text = tailfuse.infer_spec(str(table), tmp_path / "called.yaml", label="weather")
    done = CliRunner().invoke(
        main, ["init", str(table), "--out", str(tmp_path / "typed.yaml"), "--label", "weather"]
    )
    assert done.stdout == f"{text}\n"
    assert (tmp_path / "called.yaml").read_text() == (tmp_path / "typed.yaml").read_text() == text
    assert "\ntable: table.csv\n" in text


def test_without_a_file_nothing_is_written_and_the_table_is_found_from_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "data").mkdir()
    write_table(tmp_path / "data", separator=";")
    monkeypatch.chdir(tmp_path)
    text = tailfuse.infer_spec("data/table.csv", separator=";")
    assert '\ntable: data/table.csv\nseparator: ";"\n' in text
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"label": "weathers"}, r"label: the table has no column 'weathers'; did you mean 'weather'\?"),
        ({"separator": ";;"}, "separator ';;': takes one character, or tab"),
        ({"separator": ""}, "separator '': takes one character, or tab"),
        ({"encoding": "latin-99"}, "encoding 'latin-99': is no encoding that Python knows"),
        ({"out": "there.yaml"}, "there.yaml: exists already"),
        ({"out": "table.csv", "overwrite": True}, "table.csv: is the table that is read"),
        ({"out": "no/spec.yaml"}, "no/spec.yaml: cannot be written: No such file or directory"),
    ],
)  # fmt: skip
def test_a_mistake_is_named_and_no_file_is_touched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], says: str
) -> None:
    monkeypatch.chdir(tmp_path)
    write_table(Path())
    Path("there.yaml").write_text("mine")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(UserError, match=says):
        tailfuse.infer_spec("table.csv", **options)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize("sign", ["call", "command"])
def test_a_bundle_is_signed_with_a_new_key_and_with_one_that_is_there(tmp_path: Path, sign: str) -> None:
    bundle, key = write_tiny_bundle(tmp_path / "bundle"), tmp_path / "release.pem"

    def call(new: bool) -> None:
        tailfuse.sign_bundle(bundle, str(key), new_key=new)

    def type_command(new: bool) -> None:
        arguments = ["sign", str(bundle), "--key", str(key), *(["--new-key"] if new else [])]
        done = CliRunner().invoke(main, arguments)
        if done.exit_code:
            raise UserError(done.stderr)

    by_way: dict[str, Callable[[bool], None]] = {"call": call, "command": type_command}
    by_way[sign](True)
    secret = key.read_bytes()
    assert open_bundle(bundle, trusted_keys=tmp_path / "release.pem.pub").manifest.version == "3"
    with pytest.raises(UserError, match=r"release\.pem is there already; to sign with it, make no new key"):
        by_way[sign](True)
    by_way[sign](False)
    assert key.read_bytes() == secret


def test_no_key_is_made_for_what_is_no_bundle(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="no such bundle"):
        tailfuse.sign_bundle(tmp_path / "nowhere", tmp_path / "release.pem", new_key=True)
    assert not list(tmp_path.iterdir())


def test_the_quickstart_replaces_no_folder(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").touch()
    with pytest.raises(UserError, match="mine is there already; choose a new folder"):
        tailfuse.write_quickstart(tmp_path / "mine")
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.txt"]
    spec = tailfuse.write_quickstart(str(tmp_path / "quickstart"))
    assert tailfuse.load_spec(spec).name == "digits"
