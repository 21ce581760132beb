"""What a training prints of how far it is."""

import io
from typing import Any

import pytest
from rich.console import Console
from tailfuse.spec.schema import load_spec
from tailfuse.training import train as module
from tailfuse.training.hardware import Hardware
from tailfuse.training.progress import TrainingProgress, describe_stage
from tailfuse.training.train import train


def test_a_fold_is_counted_from_one_and_has_figures_of_its_own(
    lesions: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "export_run", lambda run, spec, dataset, target: target)
    printed = io.StringIO()
    spec = load_spec(lesions.write(), ("training.epochs=1", "network.width=4", "training.folds=2"))
    with TrainingProgress(Console(file=printed, width=100)) as listener:
        train(spec, lesions.folder / "run", Hardware("cpu"), listener)
    final, first, second = [line for line in printed.getvalue().splitlines() if line.startswith("training")]
    assert "balanced accuracy" in final
    assert first.startswith("training fold 1 of 2 1/1 loss ")
    assert second.startswith("training fold 2 of 2 1/1 loss ")
    # No row is validated in a fold: the final network's accuracy is not the fold's.
    assert "accuracy" not in first + second


@pytest.mark.parametrize(
    ("name", "n_folds", "said"),
    [("final", 0, "training"), ("final", 4, "training"), ("fold-0", 4, "training fold 1 of 4"),
     ("fold-11", 12, "training fold 12 of 12")],
)  # fmt: skip
def test_stages_are_named_as_people_count(name: str, n_folds: int, said: str) -> None:
    assert describe_stage(name, n_folds) == said
