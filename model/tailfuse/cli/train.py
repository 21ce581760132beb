"""tailfuse train"""

import json
import logging
from pathlib import Path

import click


@click.command("train", short_help="Train on what a spec describes; write a bundle.")
@click.argument("spec", type=click.Path(path_type=Path))
@click.option(
    "-o", "--out", type=click.Path(path_type=Path), help="The run's folder.  [runs/<name of the spec>]"
)
@click.option("--resume", is_flag=True, help="Go on with a run that was stopped.")
@click.option(
    "-s", "--set", "overrides", multiple=True, metavar="KEY=VALUE",
    help="Overrule a key of the spec, as in training.epochs=20. May be repeated.",
)  # fmt: skip
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
def command(
    spec: Path, out: Path | None, resume: bool, overrides: tuple[str, ...], accelerator: str, devices: str,
    precision: str, as_json: bool,
) -> None:  # fmt: skip
    """Train on the table that SPEC (a YAML file) describes, and write a bundle.

    The run's folder holds checkpoints, logs as CSV, and the bundle. A run that was killed at any moment
    goes on with --resume and ends with the same bundle.
    """
    from tailfuse.spec.schema import load_spec

    loaded = load_spec(spec, overrides)  # a mistake in it is not to wait for torch, which takes seconds
    from lightning_fabric.utilities.rank_zero import rank_zero_only
    from rich.console import Console
    from rich.logging import RichHandler

    from tailfuse.training.progress import TrainingProgress
    from tailfuse.training.train import Hardware, train

    # Of the processes of several devices only the first speaks.
    console = Console(stderr=True, quiet=rank_zero_only.rank > 0)  # type: ignore[attr-defined]
    logging.getLogger("tailfuse").addHandler(RichHandler(console=console, show_time=False, show_path=False))
    run = out or Path("runs") / loaded.name
    hardware = Hardware(accelerator, devices if devices == "auto" else parse_int(devices), precision)
    with TrainingProgress(console) as listener:
        bundle = train(loaded, run, hardware, listener, resume=resume)
    if bundle is None:
        return  # another process of the same run writes it
    show(bundle, as_json)


def show(bundle: Path, as_json: bool) -> None:
    """Print the bundle's metrics by subset."""
    from rich.console import Console
    from tailfuse_service.bundle import read_manifest

    from tailfuse.evaluation.evaluate import subset_table

    manifest = read_manifest(bundle)
    if as_json:
        metrics = {name: each.model_dump() for name, each in manifest.metrics.items()}
        click.echo(
            json.dumps({"bundle": str(bundle), "metrics": metrics, "parity": manifest.parity}, indent=1)
        )
        return
    Console().print(subset_table(manifest.metrics))
    click.echo(f"Bundle: {bundle}   Report: {bundle / 'report.html'}")
    click.echo(f"Next:   tailfuse serve {bundle}")


def parse_int(text: str) -> int:
    """A number of devices. Raises click.BadParameter."""
    if not text.isdecimal() or int(text) < 1:
        raise click.BadParameter(
            f"{text!r} is neither a number of devices nor 'auto'", param_hint="--devices"
        )
    return int(text)
