"""tailfuse predict"""

import sys
from pathlib import Path
from typing import Any

import click
import orjson
from tailfuse_service.bundle import Bundle, format_answer, make_predictions, open_bundle

from tailfuse.cli.inputs import INPUT_HELP, parse_inputs
from tailfuse.cli.output import write_output
from tailfuse.errors import UserError


@click.command("predict", short_help="Answer with a bundle, without a server.")
@click.argument("bundle", type=click.Path(path_type=Path))
@click.argument("table", type=click.Path(path_type=Path), required=False)
@click.option("-i", "--input", "inputs", multiple=True, metavar="MODALITY=VALUE", help=INPUT_HELP)
@click.option("-o", "--out", type=click.Path(path_type=Path), help="Where the answers go.  [stdout]")
@click.option("--runtime", type=click.Choice(["onnx", "torchscript"]), default="onnx", show_default=True)
def command(
    bundle: Path, table: Path | None, inputs: tuple[str, ...], out: Path | None, runtime: str
) -> None:
    """Answer with BUNDLE, without a server: for every row of TABLE, as CSV, or for one sample, as JSON.

    \b
    tailfuse predict runs/digits/bundle table.csv --out answers.csv
    tailfuse predict runs/digits/bundle -i image=0042.png -i shape=@shape.json
    """
    if (table is None) == (not inputs):
        raise click.UsageError("give either a TABLE or one sample by --input")
    opened = open_bundle(bundle, runtime=runtime, threads=0)  # type: ignore[arg-type]
    kinds = {name: modality.kind for name, modality in opened.manifest.modalities.items()}
    text = predict_table(opened, table) if table else predict_sample(opened, parse_inputs(kinds, inputs))
    if out is None:
        sys.stdout.write(text)
        return
    write_output(out, text)
    click.echo(f"Written: {out}", err=True)


def predict_sample(bundle: Bundle, inputs: dict[str, Any]) -> str:
    """The answer for one sample as JSON, as POST /predict gives it, but for the request's id."""
    sample = bundle.sample(inputs)
    batch = bundle.collate([sample])
    [prediction] = make_predictions(bundle.runtime.run(batch), batch.presence, bundle.manifest.class_names)
    answer = format_answer(prediction, bundle.manifest, request_id="")
    del answer["request_id"]  # there was no request
    return orjson.dumps(answer, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE).decode()


def predict_table(bundle: Bundle, path: Path) -> str:
    """The answers for all rows as CSV: label, then probabilities, weights and confidences.

    A row without any modality has empty answers. Raises TableError.
    """
    import numpy as np
    import polars as pl

    from tailfuse.data.dataset import make_split_arrays
    from tailfuse.evaluation.evaluate import predict_part
    from tailfuse.files.reading import make_reading
    from tailfuse.files.table import read_table

    manifest = bundle.manifest
    part = make_split_arrays(read_table(path, make_reading(manifest.spec)), manifest.modalities, path.parent)
    presence = part.presence()
    answered = np.flatnonzero(presence.any(axis=1))
    if not len(answered):
        raise UserError(f"{path}: no row has any modality of this model: {', '.join(manifest.modalities)}")
    output = predict_part(bundle.runtime.run, part.take(answered))
    order = output.probabilities.argmax(axis=1)
    names = np.array(manifest.class_names, object)
    columns: dict[str, Any] = {
        "row": answered + 1,
        "label": names[order],
        "probability": output.probabilities.max(1),
    }
    columns |= {f"probability.{name}": output.probabilities[:, c] for c, name in enumerate(names)}
    for m, name in enumerate(manifest.modalities):
        columns[f"weight.{name}"] = output.weights[:, m]
        columns[f"confidence.{name}"] = np.where(presence[answered, m], output.confidences[:, m], np.nan)
    rows = pl.DataFrame({"row": np.arange(len(part)) + 1}).join(
        pl.DataFrame(columns).fill_nan(None), on="row", how="left", maintain_order="left"
    )
    return rows.write_csv(float_precision=6)
