"""A search for better values of a spec's keys. It scores validation rows or folds, and reads no test row."""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
import polars as pl
from optuna.trial import FrozenTrial, Trial, TrialState
from tailfuse_service.bundle import write_atomically

from tailfuse.api.report import make_html_table
from tailfuse.api.search_space import (
    SearchSpace,
    apply_values,
    make_default_space,
    make_space,
    read_space,
    suggest_values,
)
from tailfuse.api.study import BEST, REPORT, hold_study, list_finished, make_study
from tailfuse.api.train import AnySpec, read_any_spec
from tailfuse.api.tuning_report import dump_spec, make_report
from tailfuse.api.tuning_score import Scorer
from tailfuse.errors import RunError
from tailfuse.network.build import check_encoders
from tailfuse.spec.schema import Spec
from tailfuse.training.hardware import Hardware

SCORES = ("loss", "balanced_accuracy", "macro_f1")


@dataclass(frozen=True, slots=True, repr=False)
class Tuning:
    """The trials of a search. The first is the spec as it is.

    `best` is the spec of the best trial, which `folder` has as best.yaml beside report.md. `trials` (polars)
    has a row for each trial: its state, scores, and the value of each key. `variance_shares` says by key
    how much of the scores' variance it explains.
    """

    spec: Spec
    best: Spec
    folder: Path  # with best.yaml, for `tailfuse train`, and report.md
    trials: pl.DataFrame  # trial, state, SCORES, then a column for each key of the space
    variance_shares: dict[str, float]  # by key, the share of the scores' variance

    @property
    def best_trial(self) -> dict[str, Any]:
        """The trial with the smallest loss, the earliest of equals."""
        complete = self.trials.filter(pl.col("state") == "complete")
        return complete.sort("loss", maintain_order=True).row(0, named=True)

    def __repr__(self) -> str:
        first, best = self.trials.row(0, named=True), self.best_trial
        lines = [f"{self.spec.name}, {len(self.trials)} trials; loss is to be small"]
        for name, row in (("the spec as it is", first), (f"best, trial {best['trial']}", best)):
            figures = [f"{key.replace('_', ' ')} {row[key]:.3f}" for key in SCORES if row[key] is not None]
            lines.append("  ".join([f"{name:>20}", *figures]))
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        return make_html_table(self.trials.columns, self.trials.rows(), f"{self.spec.name}: trials")


def tune(
    spec: AnySpec,
    out: str | Path | None = None,
    *,
    trials: int = 30,
    timeout: float | None = None,
    folds: int | None = None,
    space: str | Path | Mapping[str, Any] | None = None,
    overrides: Sequence[str] = (),
    overwrite: bool = False,
    accelerator: str = "cpu",
    on_trial: Callable[[int, float | None], None] = lambda *_: None,
) -> Tuning:
    """Search for values of a spec's keys; write best.yaml and report.md to a folder.

    A trial's score is the class-balanced negative log-likelihood of the validation rows, or its mean over
    `folds`. Test rows are not read. Trials that do worse than the median are stopped early. `space` is a YAML
    file or its keys; None searches the keys that fit the spec. `trials` counts those that an earlier call has
    finished in the same folder, runs/<name>-tune. No trial begins after `timeout` seconds. Raises SpecError,
    TableError, RunError, and UserError if the folder's files are among those that are read.

    >>> result = tailfuse.tune("spec.yaml", "search", trials=2, space={"network.width": [4, 8]})
    >>> result.trials.columns
    ['trial', 'state', 'loss', 'balanced_accuracy', 'macro_f1', 'network.width']
    >>> tailfuse.train("search/best.yaml", "tuned").name
    'weather'
    """
    loaded = read_any_spec(spec, overrides)
    if trials < 1 or (folds is not None and folds < 2) or (timeout is not None and not timeout > 0):
        raise ValueError("expected trials of at least 1, folds of at least 2, and a timeout above 0")
    check_encoders(loaded)
    Hardware(accelerator).fabric()  # a wrong name is not to stop every trial
    searched = choose_space(loaded, space)
    folder = Path("runs") / f"{loaded.name}-tune" if out is None else Path(out)
    sources = [Path(each) for each in (spec, space) if isinstance(each, str | Path)] + [loaded.table]
    with hold_study(folder, loaded, searched, folds, overwrite=overwrite, sources=sources):
        study = make_study(folder, loaded.seed, folds)
        missing = trials - len(list_finished(study))
        if missing > 0:
            scorer = Scorer(loaded, folds, accelerator)
            study.optimize(
                lambda trial: run_trial(trial, loaded, searched, scorer),
                n_trials=missing,
                timeout=timeout,
                callbacks=[lambda _, trial: on_trial(len(list_finished(study)), get_loss(trial))],
            )
        result = make_result(study, loaded, searched, folder)
        write_atomically(folder / BEST, dump_spec(result.best, folder))
        write_atomically(folder / REPORT, make_report(result, folds))
    return result


def choose_space(spec: Spec, space: str | Path | Mapping[str, Any] | None) -> SearchSpace:
    """Raises SpecError."""
    if space is None:
        return make_default_space(spec)
    return make_space(space, spec) if isinstance(space, Mapping) else read_space(Path(space), spec)


def run_trial(trial: Trial, spec: Spec, space: SearchSpace, scorer: Scorer) -> float:
    """Score the spec as it is until that has been done, then one with values of the space."""
    done = any("values" in each.user_attrs for each in list_finished(trial.study))
    values = suggest_values(trial, space, spec) if done else {}

    def report_step(step: int, loss: float) -> None:
        trial.report(loss, step)
        if done and trial.should_prune():
            raise optuna.TrialPruned

    trial.set_user_attr("values", values)
    try:
        score = scorer.score(apply_values(spec, values), report_step)
    except RunError as error:  # it diverged
        trial.set_user_attr("error", str(error))
        raise optuna.TrialPruned from None
    if not math.isfinite(score.loss):
        raise optuna.TrialPruned
    for name, figure in score._asdict().items():
        trial.set_user_attr(name, figure)
    return score.loss


def get_loss(trial: FrozenTrial) -> float | None:
    """Return the loss of a trial; None if it was stopped early, where Optuna's value is the last epoch's."""
    return trial.value if trial.state == TrialState.COMPLETE else None


def make_result(study: optuna.Study, spec: Spec, space: SearchSpace, folder: Path) -> Tuning:
    """Raises RunError if no trial is complete."""
    finished = list_finished(study)
    complete = [each for each in finished if each.state == TrialState.COMPLETE]
    if not complete:
        why = next((each.user_attrs["error"] for each in finished if "error" in each.user_attrs), None)
        raise RunError(f"{folder}: no trial is complete; {why or 'give it more time'}")
    best = min(complete, key=lambda trial: (trial.value, trial.number))
    schema = {"trial": pl.Int64, "state": pl.String, **dict.fromkeys(SCORES, pl.Float64)}
    rows = [[each.number, each.state.name.lower(), *map(each.user_attrs.get, SCORES)] for each in finished]
    frame = pl.DataFrame(rows, schema=schema, orient="row").with_columns(
        pl.Series(key, [spell_value(each, key) for each in finished], strict=False) for key in space
    )
    return Tuning(
        spec,
        apply_values(spec, best.user_attrs["values"]),
        folder,
        frame,
        compute_variance_shares(complete, space),
    )


def spell_value(trial: FrozenTrial, key: str) -> Any:
    """Return the value of a key in a trial; None of the spec as it is."""
    value = trial.user_attrs["values"].get(key)
    return json.dumps(value) if isinstance(value, list) else value


def compute_variance_shares(complete: list[FrozenTrial], space: SearchSpace) -> dict[str, float]:
    """Return how much each key decides the score; nothing with fewer than ten trials, where it is noise."""
    drawn = [trial for trial in complete if trial.params]
    if len(drawn) < 10 or len({trial.value for trial in drawn}) < 2:
        return {}
    study = optuna.create_study()
    study.add_trials(drawn)
    return optuna.importance.get_param_importances(study, params=list(space))
