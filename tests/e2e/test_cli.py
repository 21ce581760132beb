"""The command line from end to end, as a user runs it."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest
from tailfuse.cli import COMMANDS
from tailfuse.spec.schema import load_spec
from tailfuse_service.bundle import Bundle

from tests.support.asking import MODALITIES, SUBSETS, as_json, assert_answers, join_names, some
from tests.support.clients import http_client
from tests.support.command import refused, tailfuse
from tests.support.process import Service, environment

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


def test_help_lists_every_command() -> None:
    text = tailfuse("--help")
    assert all(f"\n  {name} " in text for name in COMMANDS)
    assert tailfuse("--version").startswith("tailfuse")


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_explains_itself(command: str) -> None:
    text = tailfuse(command, "--help")
    assert text.startswith(f"Usage: tailfuse {command} ")
    assert "--help" in text


def test_the_first_spec_of_a_table_can_be_trained(quickstart: Path, tmp_path: Path) -> None:
    out = tmp_path / "spec.yaml"
    tailfuse("init", quickstart / "table.csv", "--out", out)
    spec = load_spec(out)
    assert spec.table.resolve() == (quickstart / "table.csv").resolve()
    assert (spec.label, spec.split) == ("digit", "split")
    kinds = {name: each.kind for name, each in spec.modalities.items()}
    assert kinds == {"image": "image", "fou": "tabular", "zer": "tabular", "mor": "tabular"}
    assert "--overwrite replaces it" in refused("init", quickstart / "table.csv", "--out", out)


def test_evaluate_finds_what_the_manifest_says(
    quickstart: Path, bundle_folder: Path, digits: Bundle, tmp_path: Path
) -> None:
    out = tmp_path / "evaluation.json"
    table = quickstart / "table.csv"
    printed = tailfuse("evaluate", bundle_folder, table, "--part", "test", "--out", out)
    assert "bal." in printed
    measured = json.loads(out.read_text())["subsets"]
    assert set(measured) == {join_names(subset) for subset in SUBSETS}
    for name, metrics in digits.manifest.metrics.items():
        expected = metrics.model_dump()
        assert {key: measured[name][key] for key in expected} == pytest.approx(expected, abs=1e-6)


@pytest.fixture
def small_table(quickstart: Path, samples: list[dict[str, Any]], tmp_path: Path) -> Path:
    """A table of a row for each subset of modalities, the others' cells left empty; and one empty row."""
    rows: list[dict[str, Any]] = []
    for sample, subset in zip(samples, [*SUBSETS, ()], strict=False):
        picture = tmp_path / f"{len(rows)}.png"
        picture.write_bytes(sample["image"])
        row: dict[str, Any] = {"image": picture.name if "image" in subset else ""}
        for name in ("fourier", "shape"):
            row |= sample[name] if name in subset else dict.fromkeys(sample[name], "")
        rows.append(row)
    path = tmp_path / "table.csv"
    with path.open("w", newline="") as file:
        lines = csv.DictWriter(file, list(rows[0]))
        lines.writeheader()
        lines.writerows(rows)
    return path


def test_predict_answers_a_table_as_the_service_does(
    bundle_folder: Path,
    small_table: Path,
    samples: list[dict[str, Any]],
    client: httpx2.Client,
    tmp_path: Path,
) -> None:
    out = tmp_path / "answers.csv"
    tailfuse("predict", bundle_folder, small_table, "--out", out)
    with out.open(newline="") as file:
        *answered, empty = csv.DictReader(file)
    assert [row["row"] for row in answered] == [str(i + 1) for i in range(len(SUBSETS))]
    for row, sample, subset in zip(answered, samples, SUBSETS, strict=False):
        answer = client.post("/predict", json=as_json(some(sample, subset))).json()
        assert row["label"] == answer["label"]
        for name, probability in answer["probabilities"].items():
            assert float(row[f"probability.{name}"]) == pytest.approx(probability, abs=1e-5)
        for name, modality in answer["modalities"].items():
            assert float(row[f"weight.{name}"]) == pytest.approx(modality["weight"], abs=1e-5)
            if modality["present"]:
                assert float(row[f"confidence.{name}"]) == pytest.approx(modality["confidence"], abs=1e-5)
            else:
                assert row[f"confidence.{name}"] == ""
    assert set(empty.values()) == {str(len(SUBSETS) + 1), ""}


@pytest.mark.parametrize("runtime", ["onnx", "torchscript"])
def test_predict_answers_one_sample_as_the_service_does(
    bundle_folder: Path, quickstart: Path, client: httpx2.Client, runtime: str
) -> None:
    example = quickstart / "example"
    inputs = ("--input", f"image={example / 'image.png'}", "--input", f"shape=@{example / 'shape.json'}")
    answer = json.loads(tailfuse("predict", bundle_folder, *inputs, "--runtime", runtime))
    shape = json.loads((example / "shape.json").read_text())
    body = as_json({"image": (example / "image.png").read_bytes(), "shape": shape})
    served = client.post("/predict", json=body).json()
    assert answer["probabilities"] == pytest.approx(served["probabilities"], abs=1e-4)
    assert answer["label"] == served["label"]
    for name in MODALITIES:
        assert answer["modalities"][name] == pytest.approx(served["modalities"][name], abs=1e-4)


def test_a_zip_is_served_like_its_folder(
    run: Path, tmp_path: Path, start: Callable[..., Service], digits: Bundle, samples: list[dict[str, Any]]
) -> None:
    archive = tmp_path / "digits.zip"
    tailfuse("export", run, "--out", archive, env=environment(OMP_NUM_THREADS="1"))
    service = start(bundle=archive)
    with http_client(service) as client:
        for sample in samples:
            assert_answers(client.post("/predict", json=as_json(sample)).json(), digits, sample)
    assert service.stop() == 0


WRONG_SPECS = {
    "no such file": (None, "spec.yaml"),
    "no YAML": ("name: [digits", "spec.yaml:1"),
    "an unknown key": ("{spec}colour: red\n", "colour"),
    "a missing column": ("{misspelt}", "fuo_*"),
    "no such table": ("{elsewhere}", "nowhere.csv"),
}


@pytest.mark.parametrize(("text", "said"), WRONG_SPECS.values(), ids=WRONG_SPECS)
def test_a_wrong_spec_is_named(quickstart: Path, tmp_path: Path, text: str | None, said: str) -> None:
    spec = (quickstart / "spec.yaml").read_text().replace("table.csv", str(quickstart / "table.csv"))
    path = tmp_path / "spec.yaml"
    if text is not None:
        texts = {
            "spec": spec,
            "misspelt": spec.replace("fou_*", "fuo_*"),
            "elsewhere": spec.replace("table.csv", "nowhere.csv"),
        }
        path.write_text(text.format(**texts))
    assert said in refused("train", path, "--out", tmp_path / "run")
    assert not (tmp_path / "run" / "bundle").exists()


def test_a_wrong_override_is_named(quickstart: Path, tmp_path: Path) -> None:
    sentence = refused(
        "train", quickstart / "spec.yaml", "--out", tmp_path / "run", "--set", "training.epoch=3"
    )
    assert "training.epoch" in sentence


def test_a_run_is_not_trained_over(quickstart: Path, run: Path) -> None:
    assert "--resume" in refused("train", quickstart / "spec.yaml", "--out", run)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["predict", "{bundle}"], 2, "TABLE"),
        (["predict", "{bundle}", "--input", "smell=1"], 1, "image, fourier, shape"),
        (["predict", "{bundle}", "--input", "image=none.png"], 1, "none.png"),
        (["predict", "{bundle}", "--input", "shape=[1,"], 1, "shape"),
        (["predict", "{bundle}", "--input", 'shape={"mor_99": 1}'], 1, "mor_99"),
        (["predict", "nowhere", "--input", "image=a.png"], 1, "nowhere"),
        (["predict", "{bundle}", "nowhere.csv"], 1, "nowhere.csv"),
        (["evaluate", "{bundle}", "nowhere.csv"], 1, "nowhere.csv"),
        (["evaluate", "{bundle}", "{table}", "--part", "exam"], 2, "exam"),
        (["export", "nowhere"], 1, "nowhere"),
        (["init", "nowhere.csv"], 1, "nowhere.csv"),
        (["train"], 2, "SPEC"),
        (["frobnicate"], 2, "frobnicate"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_a_wrong_argument_is_named(
    bundle_folder: Path, quickstart: Path, arguments: list[str], code: int, said: str
) -> None:
    places = {"{bundle}": str(bundle_folder), "{table}": str(quickstart / "table.csv")}
    assert said in refused(*(places.get(each, each) for each in arguments), code=code)
