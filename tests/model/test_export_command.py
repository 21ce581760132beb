"""`tailfuse export`: the bundle's version."""

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from tailfuse.cli import main
from tailfuse_service.bundle import read_manifest


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
