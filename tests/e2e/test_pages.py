"""The commands of pages run as they stand, one after the other, in one shell; titled blocks are files.

Trainings are short here, services listen on a free port, and `tailfuse demo --no-serve`, which test_demo.py
runs, is a copy of the quick-start that other tests use as well.
"""

import shutil
from pathlib import Path

import polars as pl
import pytest
import yaml

from tests.support.bundles import write_tiny_bundle
from tests.support.pages import PAGES, ROOT, make_script, read_blocks, run_script
from tests.support.ports import find_free_port

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.needs("curl")]

KEY = "root.0123456789~abcdef"
# What a page takes for granted, before its commands: a service, and where its files are.
BEGIN = {
    "README.md": "tailfuse serve quickstart/run/bundle &",
    "SECURITY.md": "mkdir -p runs/skin\ncp -r lesions runs/skin/bundle",
    "client/README.md": "tailfuse serve lesions &",
    "docs/BUNDLE.md": "cp -r quickstart/* .",
    "docs/CONSOLE.md": "",
    "docs/MODELS.md": "tailfuse serve versions --admin-keys keys &",
    "docs/TORCHSERVE.md": "tailfuse serve lesions &",
}
NEEDS = {"docs/howto/tracking.md": ("mlflow", "tensorboard", "wandb")}
TIMEOUT_S = 600
# Names that stand for any run, by the one that is there; a page's second evaluation replaces its first; the
# bench and a script of the checkout measure less, and a tutorial trains on fewer reviews.
STANDS_FOR = {
    "reviews[:5000]": "reviews[:1500]",
    "reviews[5000:5600]": "reviews[1500:1700]",
    "runs/<name>/bundle": "runs/data/bundle",
    "--unlabelled june.parquet": "--yes --unlabelled june.parquet",
    "quickstart/table.csv --part test": "quickstart/table.csv --part test --overwrite",
    "tailfuse bench --quick": "tailfuse bench --quick --seeds 0 --methods 'logistic regression'",
    "python benchmarks/scoring.py quickstart/run/bundle quickstart/table.csv 24000 > results/": (
        f"python {ROOT}/benchmarks/scoring.py run/bundle table.csv 400 > "
    ),
    "python benchmarks/scoring.py --columns 400000 > results/": (
        f"python {ROOT}/benchmarks/scoring.py --columns 400 > "
    ),
}


def prepare_files(folder: Path, quickstart: Path, image: bytes) -> None:
    """Write the files that pages name without making them: tables, an image, bundles, keys, class shares."""
    shutil.copytree(quickstart, folder / "quickstart")
    shutil.copytree(quickstart, folder / "data", ignore=shutil.ignore_patterns("run"))
    table = pl.read_csv(quickstart / "table.csv", schema_overrides={"digit": pl.String})
    rows = table.filter(split="test").with_columns(image="quickstart/" + pl.col("image")).drop("digit")
    rows.write_csv(folder / "new.csv")
    rows.write_parquet(folder / "june.parquet")
    shutil.copy(quickstart / "example" / "image.png", folder / "digit.png")
    (folder / "lesion.jpg").write_bytes(image)
    (folder / "shares.yaml").write_text(yaml.safe_dump({str(digit): 0.1 for digit in range(10)}))
    (folder / "keys").write_text(KEY)
    write_tiny_bundle(folder / "lesions")
    (folder / "versions").mkdir()
    for version in ("3", "4"):
        write_tiny_bundle(folder / "versions" / f"v{version}", version=version)


@pytest.mark.parametrize(
    "page", [pytest.param(page, marks=pytest.mark.needs(*NEEDS.get(page, ()))) for page in PAGES]
)
def test_its_commands_run(page: str, quickstart: Path, picture: bytes, tmp_path: Path) -> None:
    if page in BEGIN:
        prepare_files(tmp_path, quickstart, picture)
    script = make_script(read_blocks(page), find_free_port(), BEGIN.get(page, ""))
    script = script.replace("tailfuse demo --no-serve", 'cp -r "$QUICKSTART" quickstart')
    for name, there in STANDS_FOR.items():
        script = script.replace(name, there)
    done = run_script(script, tmp_path, {"QUICKSTART": str(quickstart), "KEY": KEY}, TIMEOUT_S)
    assert done.returncode == 0, done.stderr[-3000:] + done.stdout[-1000:]
    assert "Traceback" not in done.stderr
