"""`tailfuse train`: its options, its mistakes, and Ctrl-C."""

import json
import shlex
from pathlib import Path
from typing import Any, NoReturn

import pytest
from click.testing import CliRunner, Result
from tailfuse.cli import main
from tailfuse.evaluation.evaluate import evaluate
from tailfuse.training import train as module
from tailfuse_service.bundle import open_bundle, read_manifest

pytestmark = pytest.mark.slow


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(each) for each in arguments], prog_name="tailfuse")


def last_line(done: Result, status: int) -> str:
    assert done.exit_code == status, done.output
    return done.stderr.strip().splitlines()[-1]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--set", "seed", "5"], "'seed' is not KEY=VALUE; write --set seed=VALUE, without a space"),
        (["--set", "seed", "=", "5"], "'seed' is not KEY=VALUE; write --set seed=VALUE"),
        (["--set", "=5"], "'=5' is not KEY=VALUE; write --set training.epochs=VALUE"),
        (["--set", "a b"], "write --set 'a b'=VALUE"),
        (["--epochs", "5"], "no option '--epochs'; it is a key of the spec: --set training.epochs=VALUE"),
        (["--learning-rate=1"], "it is a key of the spec: --set training.learning_rate=VALUE"),
        (["--seed", "5"], "--set seed=VALUE"),
        (["--resum"], "No such option '--resum'"),
        (["--resume", "--overwrite"], "--resume continues a run and --overwrite replaces it; give one"),
        (["--version", "latest"], "'latest' cannot be a version, which is a part of a URL"),
        (["--version"], "Option '--version' requires an argument"),
        (["--devices", "many"], "'many' is neither a number of devices nor 'auto'"),
    ],
    ids=lambda each: " ".join(each) if isinstance(each, list) else None,
)  # fmt: skip
def test_a_mistake_of_usage_is_named(arguments: list[str], said: str) -> None:
    assert said in last_line(run("train", "spec.yaml", *arguments), 2)


def test_a_table_or_a_folder_in_place_of_a_spec_is_named(tmp_path: Path) -> None:
    for name in ("my birds.csv", "BIRDS.CSV", "birds.csv.gz", "birds.parquet"):
        path = tmp_path / name
        said = last_line(run("train", path), 1)
        assert said == (
            f"Error: {path} is a table, not a spec; this writes a spec for it: "
            f"tailfuse init {shlex.quote(str(path))}"
        )
    assert last_line(run("train", tmp_path), 1) == (
        f"Error: {tmp_path} is a folder; expected a spec, a YAML file"
    )


def test_json_has_metrics_of_validation_and_test_rows_of_the_version_asked_for(lesions: Any) -> None:
    quick = ("--set", "training.epochs=1", "--set", "network.width=4", "--set", "training.folds=0")
    options = ("--out", lesions.folder / "run", "--json", "--version", "1.10")
    done = run("train", lesions.write(), *options, *quick)
    assert done.exit_code == 0, done.stderr
    printed = json.loads(done.stdout)
    assert set(printed) == {"bundle", "validation", "test", "metrics", "parity", "priors"}
    rows = {part: printed[part]["image+clinical+notes"]["rows"] for part in ("validation", "test")}
    assert rows == {"validation": len(lesions.load().val), "test": len(lesions.load().test)}
    assert printed["validation"].keys() == printed["test"].keys()
    assert printed["metrics"] == printed["test"]  # the older name
    manifest = read_manifest(Path(printed["bundle"]))
    assert manifest.version == "1.10"
    assert printed["validation"] == {
        name: each.model_dump() for name, each in manifest.validation_metrics.items()
    }
    expected = evaluate(
        open_bundle(Path(printed["bundle"])).runtime.run, lesions.load().val, manifest.classes
    )
    assert expected.metrics["image"].nll == pytest.approx(printed["validation"]["image"]["nll"], abs=1e-5)


def test_ctrl_c_says_how_to_continue(lesions: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: Any, **__: Any) -> NoReturn:
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "load_dataset", interrupt)
    folder = lesions.folder / "a run; it's mine"
    for flags in ([], ["--resume"], ["--overwrite"]):
        done = run("train", lesions.write(), "--out", folder, "--set", "seed=1", *flags)
        spec, out = (shlex.quote(str(path)) for path in (lesions.folder / "spec.yaml", folder))
        assert last_line(done, 130) == (
            f"Stopped. Continue with: tailfuse train --resume {spec} --out {out} --set seed=1"
        )
        assert not folder.exists()
