"""Score many tables into a folder: with all cores, and from where an earlier call was stopped."""

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Literal

from tailfuse_service.bundle import Manifest, RuntimeName, hash_manifest, read_manifest
from tailfuse_service.bundle.bundle import check_runtime, choose_prior
from tailfuse_service.bundle.files import unpacked

from tailfuse.errors import UserError
from tailfuse.scoring.answers import answer_schema
from tailfuse.scoring.estimate_rows import Plan
from tailfuse.scoring.journal import Settings
from tailfuse.scoring.on_ray import run_on_ray
from tailfuse.scoring.processes import run_in_processes
from tailfuse.scoring.run_shards import OnProgress, run_shards
from tailfuse.scoring.score_shard import Outcome, Setup
from tailfuse.scoring.scoring import Scoring
from tailfuse.scoring.shards import find_shards

__all__ = ["OnProgress", "Outcome", "Plan", "Scoring", "ScoringError", "score"]


class ScoringError(UserError):
    """Some shards have no answers. `scoring` tells which, and has the figures of the others."""

    def __init__(self, message: str, scoring: Scoring) -> None:
        super().__init__(message)
        self.scoring = scoring


def score(
    bundle: str | Path,
    paths: str | Path | Sequence[str | Path],
    out: str | Path,
    *,
    keep: str | Iterable[str] = (),
    overwrite: bool = False,
    prior: str | Mapping[str, float] | None = None,
    runtime: RuntimeName = "onnx",
    processes: int | None = None,
    on: Literal["processes", "ray"] = "processes",
    on_progress: OnProgress = lambda _: None,
) -> Scoring:
    r"""Answer the rows of many tables: for each a Parquet file of its name in the folder `out`.

    `paths` are tables, and folders of tables. The answers are those of `tailfuse.predict`. Shards that an
    earlier call finished with the same bundle and options are kept, if neither they nor their inputs have
    changed. `processes` is the number of cores by default; `on="ray"` scores on the cluster of RAY_ADDRESS.
    `on_progress` is called with a `Plan`, then with numbers of rows and with an `Outcome` for each shard.
    Raises ScoringError at the end if a shard failed, UserError, BundleError.

    >>> _ = Path("notes.csv").write_text("review\na dark spot\nitchy\n")
    >>> scoring = tailfuse.score("bundle", ["notes.csv"], "answers", processes=1)
    >>> scoring.counts.rows, scoring.counts.errors
    (2, 0)
    """
    if on not in ("processes", "ray"):
        raise ValueError(f"on is {on!r}; it must be 'processes' or 'ray'")
    if processes is not None and processes < 1:
        raise ValueError(f"processes is {processes}; it must be at least 1")
    given = [Path(paths)] if isinstance(paths, str | Path) else [Path(path) for path in paths]
    target, source = Path(out), Path(bundle)
    check_runtime(runtime)
    manifest = check_bundle(source, prior)
    columns = (keep,) if isinstance(keep, str) else tuple(keep)
    setup = Setup(source.absolute(), hash_manifest(manifest), prior, runtime, columns)
    settings = Settings(
        bundle=setup.digest, model=manifest.name, version=manifest.version, runtime=runtime, prior=prior,
        keep=columns, columns=tuple(answer_schema(manifest)),
    )  # fmt: skip
    run = partial(run_on_ray if on == "ray" else run_in_processes, processes=processes)
    shards = find_shards(given, target)
    scoring = run_shards(shards, target, setup, settings, run, overwrite=overwrite, on_progress=on_progress)
    if scoring.failed:
        raise ScoringError(
            f"{len(scoring.failed):,} of {len(shards):,} shards failed; the first is "
            f"{next(iter(scoring.failed.values()))}",
            scoring,
        )
    return scoring


def check_bundle(path: Path, prior: str | Mapping[str, float] | None) -> Manifest:
    """Return the manifest of a bundle, before anything is written. Raises BundleError."""
    with unpacked(path) as folder:
        manifest = read_manifest(folder)
    choose_prior(path, manifest, prior)
    return manifest
