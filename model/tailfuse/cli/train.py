"""tailfuse train"""

import json
import os
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import tailfuse
from tailfuse.cli import INTERRUPTED
from tailfuse.cli.prior_option import prior_option
from tailfuse.cli.report_rows_option import report_rows_option
from tailfuse.cli.version_option import version_option

if TYPE_CHECKING:
    from tailfuse.api.model import Model
    from tailfuse.spec.schema import Spec


class TrainCommand(click.Command):
    """Takes an unknown option for a key of the spec, where it has the name of one."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            from tailfuse.spec.schema import find_key

            key = find_key(error.option_name.lstrip("-").replace("-", "_"))
            if key is None:
                raise
            ctx.fail(f"there is no option '{error.option_name}'; it is a key of the spec: --set {key}=VALUE")


def check_overrides(ctx: click.Context, param: click.Parameter, texts: tuple[str, ...]) -> tuple[str, ...]:
    """Each is `key=value`. Raises click.BadParameter."""
    for text in texts:
        key, equals, _ = text.partition("=")
        if not key.strip() or not equals:
            example = shlex.quote(key.strip() or "training.epochs")
            raise click.BadParameter(
                f"'{text}' is not KEY=VALUE; write --set {example}=VALUE, without a space"
            )
    return texts


@click.command("train", cls=TrainCommand, short_help="Train on what a spec describes; write a bundle.")
@click.argument("spec", type=click.Path(path_type=Path))
@click.option(
    "-o", "--out", type=click.Path(path_type=Path), help="The run's folder.  [runs/<name of the spec>]"
)
@click.option("--resume", is_flag=True, help="Continue a run that was stopped.")
@click.option("--overwrite", is_flag=True, help="Replace the run that the folder holds.")
@click.option(
    "--checkpoints", metavar="ADDRESS",
    help="Copy checkpoints to s3://, gs://, az:// or file://; with --resume, continue from there.",
)  # fmt: skip
@click.option(
    "-s", "--set", "overrides", multiple=True, metavar="KEY=VALUE", callback=check_overrides,
    help="Override a key of the spec, as in training.epochs=20. May be repeated.",
)  # fmt: skip
@version_option("the spec's key `version`")
@prior_option("the spec's key `prior`: uniform")
@report_rows_option("the spec's key `report.rows`: ids")
@click.option(
    "--accelerator",
    default="auto",
    show_default=True,
    help="auto, cpu, gpu, mps, … (auto takes a GPU if there is one)",
)
@click.option("--devices", default="1", show_default=True, help="How many of them, or 'auto' for all.")
@click.option(
    "--precision",
    default="32-true",
    show_default=True,
    help="32-true, bf16-mixed or 16-mixed (mixed precision).",
)
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON on stdout.")
@click.pass_context
def command(
    ctx: click.Context, spec: Path, out: Path | None, resume: bool, overwrite: bool, checkpoints: str | None,
    overrides: tuple[str, ...], version: str | None, prior: Any, report_rows: str | None,
    accelerator: str, devices: str, precision: str, as_json: bool,
) -> None:  # fmt: skip
    """Train on the table that SPEC (a YAML file) describes, and write a bundle.

    The run's folder holds checkpoints, logs as CSV, and the bundle. A run that was stopped at any moment
    continues with --resume and ends with the same bundle.
    """
    if resume and overwrite:
        raise click.UsageError("--resume continues a run and --overwrite replaces it; give one of them")
    if version is not None:
        overrides = (*overrides, f"version={json.dumps(version)}")  # JSON quotes as YAML does
    if prior is not None:
        overrides = (*overrides, f"prior={json.dumps(prior, ensure_ascii=False)}")
    if report_rows is not None:
        overrides = (*overrides, f"report.rows={report_rows}")
    n_devices = devices if devices == "auto" else parse_int(devices)
    try:
        loaded = tailfuse.load_spec(spec, overrides)  # a mistake in it is not to wait for torch: seconds
        hardware = accelerator, n_devices, precision
        model = train_spec(loaded, out, hardware, resume=resume, overwrite=overwrite, checkpoints=checkpoints)
    except KeyboardInterrupt:
        if is_first_process():
            click.echo(f"\nStopped. Continue with: {format_resume(ctx.find_root().obj)}", err=True)
        ctx.exit(INTERRUPTED)
    show(model, as_json)


def is_first_process() -> bool:
    """Return whether this process speaks: of those of several devices and machines only the first does."""
    return os.environ.get("RANK", os.environ.get("LOCAL_RANK", "0")) == "0"


def train_spec(spec: "Spec", out: Path | None, hardware: tuple[str, int | str, str], **how: Any) -> "Model":
    """Train, and show how far it is."""
    from rich.console import Console

    from tailfuse.cli.log import show_warnings
    from tailfuse.training.progress import TrainingProgress

    console = Console(stderr=True, quiet=not is_first_process())
    show_warnings(console)
    accelerator, devices, precision = hardware
    with TrainingProgress(console) as listener:
        return tailfuse.train(
            spec, out, accelerator=accelerator, devices=devices, precision=precision, listener=listener, **how
        )


def format_resume(typed: Sequence[str]) -> str:
    """Return the command that continues a run, from the one that was typed, quoted for a shell."""
    name, *rest = (word for word in typed if word not in ("--overwrite", "--resume"))
    return shlex.join(["tailfuse", name, "--resume", *rest])


def show(model: "Model", as_json: bool) -> None:
    """Print the bundle's metrics by subset: of the test rows, and as JSON of the validation rows too."""
    from rich.console import Console

    from tailfuse.evaluation.evaluate import as_given, percent, subset_table
    from tailfuse.evaluation.prior_metrics import PRIORS_HEADING, prior_table

    manifest, bundle = model.manifest, model.path
    assert bundle is not None  # it has been written
    if as_json:
        written = manifest.model_dump(include={"metrics", "validation_metrics", "prior_metrics", "parity"})
        test, validation = written["metrics"], written["validation_metrics"]
        # "metrics" is the older name of "test".
        result = {"bundle": str(bundle), "validation": validation, "test": test, "metrics": test}
        result |= {"priors": written["prior_metrics"], "parity": written["parity"]}
        click.echo(json.dumps(result, indent=1))
        return
    Console().print("Test rows:", subset_table(manifest.metrics))
    if manifest.prior_metrics:
        Console().print(PRIORS_HEADING, prior_table(manifest.prior_metrics))
    accuracy = percent(as_given(manifest.validation_metrics).balanced_accuracy)
    click.echo(
        f"Validation rows: balanced accuracy {accuracy}. Compare specs by this figure, not by the test rows'."
    )
    click.echo(f"Bundle: {bundle}   Report: {bundle / 'report.html'}")
    click.echo(f"Next:   {shlex.join(['tailfuse', 'serve', str(bundle)])}")


def parse_int(text: str) -> int:
    """A number of devices. Raises click.BadParameter."""
    if not text.isdecimal() or int(text) < 1:
        raise click.BadParameter(
            f"{text!r} is neither a number of devices nor 'auto'", param_hint="--devices"
        )
    return int(text)
