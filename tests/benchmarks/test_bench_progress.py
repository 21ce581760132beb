"""What a bench prints of how far it is."""

import io

import pytest
from rich.console import Console
from tailfuse_bench.progress import BenchProgress, format_minutes
from tailfuse_bench.records import Result
from tailfuse_bench.tasks import Experiment, Record


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.2, "0 s"), (29.4, "29 s"), (31, "1 min"), (200, "3 min"), (3900, "1 h 05 min"), (3599, "1 h 00 min")],
)
def test_times_are_rounded_to_what_is_read(seconds: float, said: str) -> None:
    assert format_minutes(seconds) == said


def test_the_best_method_is_that_of_the_same_rows() -> None:
    """With modalities missing every method is worse: the two are not averaged."""
    done = {}
    for missing, scores in ((0, {"a": 0.9, "b": 0.8}), (30, {"a": 0.3, "b": 0.6})):
        for seed in (0, 1):
            experiment = Experiment("pie", 50, seed, missing)
            for method, score in scores.items():
                result = Result("pie", 50, seed, method, balanced_accuracy=score)
                done[experiment, method] = Record("", "", 1.0, [result], [])
    progress = BenchProgress(Console(file=io.StringIO()), [], done, 1)
    assert progress.format_best(Experiment("pie", 50, 1)) == "pie, IR 50: best is a, 90.0 %"
    incomplete = progress.format_best(Experiment("pie", 50, 0, 30))
    assert incomplete == "pie, IR 50, 30 % missing: best is b, 60.0 %"
