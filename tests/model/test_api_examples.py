"""The examples in the docstrings of the Python API are run."""

import doctest
import importlib
import pkgutil
from pathlib import Path

import pytest
import tailfuse
import tailfuse.api

from tests.support.bundles import write_tiny_bundle

SPEC = """\
name: weather
table: table.csv
label: weather
modalities:
  sensors: {kind: tabular, columns: [gusts, pressure]}
network: {width: 8}
training: {epochs: 2, folds: 0}
"""
ERRORS = (*(name for name in tailfuse.__all__ if name.endswith("Error")), "InvalidInput")
DAYS = {"gusts": [0.1, 0.2, 2.1, 1.9] * 10, "weather": ["calm", "calm", "windy", "windy"] * 10}
RESULTS = (
    "BundleComparison",
    "Comparison",
    "CrossValidation",
    "Model",
    "Report",
    "Scoring",
    "Tuning",
)  # what calls return
TRAINED = ("tailfuse.api.classifier", "tailfuse.api.model")  # examples of these have a fitted `clf`
NEEDS = {"tailfuse.api.mlflow_model": [pytest.mark.needs("mlflow")]}
TRAINING = [f"tailfuse.api.{name}" for name in ("adapt", "classifier", "export", "train", "tune")]
MARKS = {name: [pytest.mark.slow] for name in TRAINING} | NEEDS
PARTS = [f"tailfuse.api.{module.name}" for module in pkgutil.iter_modules(tailfuse.api.__path__)]

MODULES = ("tailfuse", "tailfuse.spec.schema", "tailfuse.quickstart.quickstart", *PARTS)


def write_example(folder: Path) -> None:
    """Write the spec and the table of the examples: 20 calm and 10 windy days."""
    (folder / "spec.yaml").write_text(SPEC)
    weather = ("calm", "calm", "windy")
    lines = [f"{day % 3 * 2 + day % 7 / 7},{day % 5},{weather[day % 3]}" for day in range(30)]
    (folder / "table.csv").write_text("\n".join(["gusts,pressure,weather", *lines]))


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=MARKS.get(name, ())) for name in MODULES],
)
def test_examples_say_what_they_print(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    module = importlib.import_module(name)
    write_example(Path())
    names = {**vars(module), "tailfuse": tailfuse, "model": tailfuse.load(write_tiny_bundle(Path("bundle")))}
    if name in TRAINED:
        names["clf"] = tailfuse.Classifier(training={"epochs": 1, "folds": 0}).fit(DAYS, label="weather")
    for example in doctest.DocTestFinder(exclude_empty=True).find(module, globs=names):
        result = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(example)
        assert not result.failed, example.name


def test_the_public_calls_have_examples() -> None:
    calls = {*tailfuse.__all__} - {*RESULTS, *ERRORS, "__version__"}
    assert [name for name in sorted(calls) if ">>>" not in getattr(tailfuse, name).__doc__] == []


@pytest.mark.parametrize("kind", [tailfuse.Classifier, tailfuse.Model])
def test_the_methods_have_examples(kind: type) -> None:
    methods = {name: each for name, each in vars(kind).items() if not name.startswith("_") and callable(each)}
    assert "predict_proba" in methods
    assert [name for name, each in methods.items() if ">>>" not in (each.__doc__ or "")] == []
