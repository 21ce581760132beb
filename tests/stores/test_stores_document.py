"""The commands of docs/STORES.md, at a real server of S3's protocol on this machine (moto)."""

from pathlib import Path

import pytest

from tests.support.pages import make_script, read_blocks, run_script
from tests.support.ports import find_free_port
from tests.support.stores import serve_s3

PAGE = "docs/STORES.md"


@pytest.mark.slow
@pytest.mark.e2e
@pytest.mark.needs("curl", "moto_server")
def test_a_bundle_is_pushed_served_and_pulled(tiny_bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "runs" / "skin").mkdir(parents=True)
    (tmp_path / "runs" / "skin" / "bundle").symlink_to(tiny_bundle)
    script = make_script(read_blocks(PAGE), find_free_port())
    cache = {"TAILFUSE_STORE_CACHE": str(tmp_path / "cache")}
    with serve_s3("models") as variables:
        done = run_script(script, tmp_path, variables | cache)
    assert done.returncode == 0, done.stderr
    for file in tiny_bundle.iterdir():
        assert (tmp_path / "skin-4" / file.name).read_bytes() == file.read_bytes()
    assert list((tmp_path / "cache").rglob("manifest.json"))  # that of `serve`
