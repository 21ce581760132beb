"""openapi-python-client in an environment of its own, and calls of the client that it makes."""

import sys
from pathlib import Path

from tests.support.process import ran

GENERATOR = "openapi-python-client==0.29.1"

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
