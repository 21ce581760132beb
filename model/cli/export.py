"""tailfuse export"""

import tempfile
from pathlib import Path

import click

from model.errors import RunError, UserError


@click.command("export", short_help="Write the bundle of a trained run anew.")
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "-o", "--out", type=click.Path(path_type=Path), help="The bundle: a folder, or a file ending in .zip."
)
def command(run: Path, out: Path | None) -> None:
    """Export the trained network of RUN (a folder of `tailfuse train`) as a bundle.

    Both graphs are checked against the network on every subset of modalities; nothing is written if one
    differs. Training exports already: this is for a .zip, or for a tailfuse that has changed.
    """
    if not (run / "run.json").is_file():  # said before torch is loaded
        raise RunError(f"{run} is not the folder of a run: it has no run.json")
    if out is not None and out.exists() and out.suffix != ".zip":
        raise UserError(f"{out} is there already; choose another --out")

    from model.data.dataset import load_dataset
    from model.training.train import BUNDLE, export_run, spec_of
    from service.bundle import pack

    spec = spec_of(run)
    target = out or run / BUNDLE
    if target.suffix != ".zip":
        export_run(run, spec, load_dataset(spec), target)
    else:
        with tempfile.TemporaryDirectory() as folder:
            pack(export_run(run, spec, load_dataset(spec), Path(folder) / BUNDLE), target)
    click.echo(f"Written: {target}")
