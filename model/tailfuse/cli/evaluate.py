"""tailfuse evaluate"""

import json
import logging
from pathlib import Path

import click

from tailfuse.cli.output import write_output


@click.command("evaluate", short_help="Judge a bundle on a labelled table.")
@click.argument("bundle", type=click.Path(path_type=Path))
@click.argument("table", type=click.Path(path_type=Path))
@click.option(
    "--part", type=click.Choice(["train", "val", "test"]), help="Only these rows of the spec's split."
)
@click.option(
    "-o", "--out", type=click.Path(path_type=Path), default="evaluation.json", show_default=True,
    help="Where all figures go.",
)  # fmt: skip
@click.option(
    "--json", "as_json", is_flag=True, help="Print the figures as JSON on stdout instead of a table."
)
@click.option("--runtime", type=click.Choice(["onnx", "torchscript"]), default="onnx", show_default=True)
def command(bundle: Path, table: Path, part: str | None, out: Path, as_json: bool, runtime: str) -> None:
    """Judge BUNDLE on the labelled rows of TABLE: every subset of modalities; many, medium and few shots."""
    from rich.console import Console
    from rich.logging import RichHandler
    from tailfuse_service.bundle import open_bundle

    from tailfuse.data.labelled import labelled_part
    from tailfuse.evaluation.evaluate import evaluate, evaluation_json, subset_table

    logging.getLogger("tailfuse").addHandler(
        RichHandler(console=Console(stderr=True), show_time=False, show_path=False)
    )
    opened = open_bundle(bundle, runtime=runtime, threads=0)  # type: ignore[arg-type]
    judged = evaluate(
        opened.runtime.run, labelled_part(opened.manifest, table, part), opened.manifest.classes
    )
    text = json.dumps(evaluation_json(judged), indent=1)
    write_output(out, text)
    if as_json:
        click.echo(text)
        return
    Console().print(subset_table(judged.metrics))
    click.echo(f"All figures: {out}", err=True)
