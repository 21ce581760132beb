"""`tailfuse export`: the bundle's version, and what its report shows."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from tailfuse.cli import main
from tailfuse.evaluation.report import Findings
from tailfuse_service.bundle import pack, read_manifest

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("options", "version"),
    [
        ([], "1"),
        (["--version", "[2]: x"], "[2]: x"),
        (["--precision", "float16"], "1+float16"),
        (["--precision", "float16", "--version", "small"], "small"),
    ],
    ids=str,
)
def test_the_bundle_has_the_version_asked_for(
    trained: Any, tmp_path: Path, options: list[str], version: str
) -> None:
    out = tmp_path / "bundle"
    done = CliRunner().invoke(main, ["export", str(trained.run), "--out", str(out), *options])
    assert done.exit_code == 0, done.output
    manifest = read_manifest(out)
    assert manifest.version == version
    assert set(manifest.validation_metrics) == set(manifest.metrics)


@pytest.mark.parametrize("rows", ["none", "ids", "all"])
def test_the_report_shows_the_rows_asked_for(
    trained: Any, tmp_path: Path, rows: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard = []

    def collect(*_: Any, shown: str, **__: Any) -> Findings:
        heard.append(shown)
        return Findings()

    monkeypatch.setattr("tailfuse.export.bundle.collect_findings", collect)
    out = tmp_path / "bundle"
    options = [] if rows == "ids" else ["--report-rows", rows]
    done = CliRunner().invoke(main, ["export", str(trained.run), "--out", str(out), *options])
    assert done.exit_code == 0, done.output
    assert heard == [rows]
    assert read_manifest(out).spec["report"] == {"rows": rows}


def test_a_smaller_bundle_keeps_its_report(trained: Any, tmp_path: Path) -> None:
    command = ["export", str(trained.run), "--out", str(tmp_path / "small"), "--precision", "int8"]
    done = CliRunner().invoke(main, [*command, "--report-rows", "none"])
    assert done.exit_code == 1
    assert "--report-rows goes with --precision float32" in done.output
    assert not (tmp_path / "small").exists()


def test_the_result_is_json_on_stdout(trained: Any, tmp_path: Path) -> None:
    out = tmp_path / "bundle"
    done = CliRunner().invoke(main, ["export", str(trained.run), "--out", str(out), "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout) == {"precision": "float32", "bundle": str(out)}
    assert done.stderr.splitlines()[-1] == f"Written: {out}"


def test_the_bundle_that_is_read_is_not_replaced(trained: Any, tmp_path: Path) -> None:
    archive = tmp_path / "bundle.zip"
    pack(trained.bundle, archive)
    before = archive.read_bytes()
    options = ["--precision", "int8", "--table", str(trained.spec.table)]
    for source, out, said in (
        (archive, archive, "is the bundle that is read"),
        (trained.bundle, trained.bundle / "int8", "is inside the bundle that is read"),
        (trained.run, trained.bundle / "int8.zip", "is inside the bundle that is read"),
    ):
        done = CliRunner().invoke(main, ["export", str(source), "--out", str(out), *options])
        assert done.exit_code == 1
        assert said in done.output
    assert archive.read_bytes() == before
    assert read_manifest(trained.bundle)
