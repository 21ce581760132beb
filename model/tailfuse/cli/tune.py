"""tailfuse tune"""

import json
import shlex
from pathlib import Path

import click

from tailfuse.cli.train import check_overrides

EXIT_STATUSES = """\
Exit status: 0 if all went well; 1 if nothing was written, and the last line says why; 2 if the command line
is wrong; 130 after Ctrl-C: the same command goes on."""


@click.command("tune", short_help="Search for better values of a spec's keys.", epilog=EXIT_STATUSES)
@click.argument("spec", type=click.Path(path_type=Path))
@click.option(
    "-o", "--out", type=click.Path(path_type=Path),
    help="The folder for best.yaml, report.md and the trials.  [runs/<name of the spec>-tune]",
)  # fmt: skip
@click.option(
    "--trials", type=click.IntRange(1), default=30, show_default=True,
    help="Number of trials, with those that the folder holds.",
)  # fmt: skip
@click.option(
    "--timeout", type=click.FloatRange(0, min_open=True), metavar="SECONDS",
    help="Begin no trial after so many seconds.",
)  # fmt: skip
@click.option(
    "--folds", type=click.IntRange(2), help="Score by cross-validation.  [the validation rows of the split]"
)
@click.option(
    "--space",
    type=click.Path(path_type=Path),
    help="The keys and their values, a YAML file.  [chosen by the spec]",
)
@click.option("--overwrite", is_flag=True, help="Begin anew the search that the folder holds.")
@click.option(
    "-s", "--set", "overrides", multiple=True, metavar="KEY=VALUE", callback=check_overrides,
    help="Override a key of the spec, as in training.epochs=20. May be repeated.",
)  # fmt: skip
@click.option("--accelerator", default="cpu", show_default=True, help="cpu, gpu, mps, … or auto.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON on stdout.")
def command(
    spec: Path, out: Path | None, trials: int, timeout: float | None, folds: int | None, space: Path | None,
    overwrite: bool, overrides: tuple[str, ...], accelerator: str, as_json: bool,
) -> None:  # fmt: skip
    """Search for values of SPEC's keys with Optuna. Test rows are not read.

    The first trial is SPEC as it is. The best spec is written as best.yaml, for `tailfuse train`. A search
    that was stopped goes on with the same command.
    """
    from rich.console import Console

    from tailfuse.api.study import BEST, REPORT
    from tailfuse.api.tune import tune
    from tailfuse.cli.log import show_warnings

    console = Console(stderr=True)
    show_warnings(console)
    with console.status(f"trial 1 of {trials} …") as status:

        def show_trial(done: int, loss: float | None) -> None:
            console.print(f"trial {done}: {'stopped early' if loss is None else f'loss {loss:.4f}'}")
            status.update(f"trial {min(done + 1, trials)} of {trials} …")

        result = tune(
            spec, out, trials=trials, timeout=timeout, folds=folds, space=space, overrides=overrides,
            overwrite=overwrite, accelerator=accelerator, on_trial=show_trial,
        )  # fmt: skip
    best = result.folder / BEST
    if as_json:
        written = {
            "best": result.best_trial,
            "trials": result.trials.to_dicts(),
            "variance_shares": result.variance_shares,
        }
        click.echo(
            json.dumps({"spec": str(best), "report": str(result.folder / REPORT), **written}, indent=1)
        )
        return
    click.echo(repr(result))
    click.echo(f"Best spec: {best}   Report: {result.folder / REPORT}")
    click.echo(f"Next:      {shlex.join(['tailfuse', 'train', str(best)])}")
