"""Generators of clients: one for Python, calls of what it makes, and a document that is hard on them all."""

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from tailfuse_service.bundle import Bundle
from tailfuse_service.http.openapi.requests import make_request_schemas
from tailfuse_service.modalities import Modality, SeriesModality, TabularModality, TextModality
from tailfuse_service.modalities.series import Channel
from tailfuse_service.modalities.tabular import BooleanColumn, CategoryColumn, NumberColumn

from tests.support.process import ran

GENERATOR = "openapi-python-client==0.29.1"

# Of every kind and every form of it; column names that are no identifiers.
UNUSUAL: dict[str, Modality] = {
    "clinical": TabularModality(
        columns=(
            NumberColumn(name="Größe (cm)", mean=0, scale=1),
            NumberColumn(name="class", mean=0, scale=1),
            BooleanColumn(name="1st"),
            CategoryColumn(name="a\nb", categories=("x", "y")),
        ),
        width=5,
    ),
    "motion": SeriesModality(columns=("x", "y"), channels=(Channel(mean=0, scale=1),) * 2, length=8),
    "sound": SeriesModality(columns=("x",), channels=(Channel(mean=0, scale=1),), length=8),
    "notes": TextModality(columns=("a", "b c"), buckets=8, ngrams=1, max_tokens=8),
    "def": TextModality(columns=("a",), buckets=8, ngrams=1, max_tokens=8),
}

# Calls of the client of the tiny bundle; what was answered is printed as JSON.
CALLS = """
import json
import sys
from pathlib import Path

from skin_lesions_client import Client, models
from skin_lesions_client.api.prediction import get_model, get_named_model, predict, predict_batch
from skin_lesions_client.types import File

client = Client(base_url=sys.argv[1])


def list_present(answer):
    return [name for name, each in answer.modalities.additional_properties.items() if each.present]


with open("lesion.png", "rb") as file:
    form = models.PredictForm(
        image=File(payload=file, file_name="lesion.png", mime_type="image/png"),
        clinical=json.dumps({"age": 61}),
    )
    by_form = predict.sync(client=client, body=form)
document = json.loads(client.get_httpx_client().get("/openapi.json").text)
content = document["paths"]["/predict"]["post"]["requestBody"]["content"]["application/json"]
example = content["examples"]["everything"]["value"]
by_json = predict.sync(client=client, body=models.PredictRequest.from_dict(example), top_k=1, explain=True)
items = {"items": [{"inputs": {"notes": "spot"}}, {"inputs": {}}]}
by_batch = predict_batch.sync(client=client, body=models.BatchRequest.from_dict(items))
modalities = get_model.sync(client=client).modalities.additional_properties
print(json.dumps({
    "json": list_present(by_json),
    "form": list_present(by_form),
    "batch": [type(each).__name__ for each in by_batch.results],
    "model": {name: type(each).__name__ for name, each in modalities.items()},
    "problem": get_named_model.sync("nothing", client=client).type_,
}))
"""


def install_generator(folder: Path) -> Path:
    """Install the generator into a folder; return its program."""
    made = ran(sys.executable, "-m", "venv", str(folder))
    assert made.returncode == 0, made.stderr
    done = ran(str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", GENERATOR, timeout=600)
    assert done.returncode == 0, done.stderr
    return folder / "bin" / "openapi-python-client"


def describe_unusual(described: Any, bundle: Bundle) -> Any:
    """Return the document of a bundle with unusual modalities, without its examples."""
    unusual = json.loads(json.dumps(described))
    manifest = bundle.manifest.model_copy(update={"modalities": UNUSUAL})
    unusual["components"]["schemas"] |= make_request_schemas(replace(bundle, manifest=manifest))
    for path in ("/predict", "/predict/batch"):
        for content in unusual["paths"][path]["post"]["requestBody"]["content"].values():
            for member in ("example", "examples", "encoding"):
                content.pop(member, None)
    return unusual
