"""Score shards with actors of Ray Data, on one machine or many. All must see files by the same paths."""

import pickle
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tailfuse_service.bundle import ServiceError

from tailfuse.child_process import ONE_THREAD
from tailfuse.errors import RunError
from tailfuse.scoring.score_shard import Outcome, Setup, ShardScorer, Task

if TYPE_CHECKING:
    from ray.data import Dataset

MAX_RETRIES = 1  # of a task whose actor died, as MAX_ATTEMPTS of processes


class RayScorer:
    """An actor with the bundle open. Tasks and outcomes are pickles: Ray Data knows columns only."""

    def __init__(self, setup: Setup) -> None:
        self.error: ServiceError | None = None
        try:
            self.scorer = ShardScorer(setup)
        except ServiceError as error:
            self.error = error  # Ray would wrap it in a traceback

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[bytes]]:
        """Score the shards of a batch."""
        return {"outcome": [pickle.dumps(self.score(pickle.loads(task))) for task in batch["task"]]}

    def score(self, task: Task) -> Outcome | ServiceError:
        """Return the outcome of a shard, or why the bundle cannot be opened."""
        return self.error or self.scorer.score(task, lambda _: None)


def run_on_ray(setup: Setup, tasks: Sequence[Task], processes: int | None) -> Iterator[int | Outcome]:
    """Yield the rows of each shard that was scored, and its outcome. Raises BundleError, RunError.

    Ray is that of the variable RAY_ADDRESS, or else is started here. There are as many `processes` as the
    cluster has cores by default.
    """
    import ray
    import ray.data
    import ray.exceptions

    if not ray.is_initialized():
        ray.init()
    n_cores = int(ray.cluster_resources().get("CPU", 1))
    n_actors = min(processes or n_cores, len(tasks))
    rows = [{"task": pickle.dumps(make_absolute(task))} for task in tasks]
    scored = ray.data.from_items(rows, override_num_blocks=len(rows)).map_batches(
        RayScorer, fn_constructor_args=(setup,), batch_size=1, num_cpus=1,
        compute=ray.data.ActorPoolStrategy(size=n_actors),
        max_task_retries=MAX_RETRIES, max_restarts=MAX_RETRIES * len(tasks),
        runtime_env={"env_vars": ONE_THREAD},
    )  # fmt: skip
    try:
        for outcome in read_outcomes(scored):
            if isinstance(outcome, ServiceError):
                raise outcome
            if outcome.record is not None and not outcome.kept:
                yield outcome.record.counts.rows
            yield outcome
    except ray.exceptions.RayError as error:  # an actor died again and again, for example
        raise RunError(f"Ray: {describe_error(error)}") from None


def read_outcomes(scored: "Dataset") -> Iterator[Outcome | ServiceError]:
    """Yield the outcomes as they come, in this thread.

    `Dataset.iter_rows` has threads that go on for a while after an error: where the program stops Ray
    meanwhile, they end it with status 1, or start Ray again.
    """
    import ray

    for bundle in scored.iter_internal_ref_bundles():
        for block in ray.get(bundle.block_refs):
            yield from map(pickle.loads, block["outcome"].to_pylist())


def describe_error(error: Exception) -> str:
    """Return the line that says why: of an actor's traceback what was raised, else the first line."""
    first, *others = str(error).splitlines() or [type(error).__name__]
    raised = [line for line in others if line and not line.startswith(" ")]
    return raised[0] if raised and "ray::" in first else first


def make_absolute(task: Task) -> Task:
    """Return the task with absolute paths: an actor has another working directory."""
    paths = {name: getattr(task, name).absolute() for name in ("source", "answers", "target")}
    return replace(task, **paths)
