"""No answer tells of the machine: no path, no name of a host or of a module, no traceback."""

import asyncio
import getpass
import json
import re
import socket
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient
from tailfuse_service import errors
from tailfuse_service.app import create_app
from tailfuse_service.models.desired_state import DesiredStateStore
from tailfuse_service.models.repository import Repository
from tailfuse_service.settings import Settings

from tests.support.bad_bodies import BODIES, FORMS, INPUTS, JSON
from tests.support.bundles import write_tiny_bundle
from tests.support.calls import BODY, Call
from tests.support.sized import encoded
from tests.support.trials import pass_all

KEY = "0123456789abcdef"
# Of the connection, before there is a request: tests/e2e and tests/hostile provoke these.
OF_THE_CONNECTION = {errors.ReceiveTimeout.slug, errors.HeadTooLarge.slug}
TELLTALES = [
    str(Path(__file__).parents[2]), str(Path.home()), tempfile.gettempdir(), sys.prefix, socket.gethostname(),
    "Traceback", "site-packages", "python", "onnxruntime", "uvicorn", "starlette", "0x", KEY,
]  # fmt: skip


def answerable(kind: type[errors.ServiceError]) -> set[str]:
    """The slugs of a branch of the tree, without those of its forks."""
    below = set().union(*map(answerable, kind.__subclasses__()))
    return below | ({kind.slug} if not kind.__subclasses__() or kind is errors.InvalidInput else set())


def fail(*_: Any, **__: Any) -> Any:
    raise OSError(5, "Input/output error", f"{tempfile.gettempdir()}/secret/{socket.gethostname()}")


def of_forms_and_bodies(client: Any) -> list[str]:
    """Whatever a caller may do wrong in what they send."""
    answers = [client.post("/predict", json={"inputs": inputs}) for inputs, *_ in INPUTS.values()]
    answers += [client.post("/predict", content=body, headers=JSON) for body, *_ in BODIES.values()]
    answers += [
        client.post("/predict", content=body, headers={"content-type": kind})
        for kind, body, *_ in FORMS.values()
    ]
    for kind in ("PNG", "JPEG", "GIF", "TIFF", "WEBP", "BMP"):
        data = encoded((64, 64), kind)
        damaged = (data[: len(data) // 2], data[:20] + b"\xff" * 40 + data[60:])
        answers += [client.post("/predict", files={"image": picture}) for picture in damaged]
    large = encoded((9000, 9000), "PNG", "1")
    answers += [
        client.post("/predict", files={"image": large}),
        client.post("/predict", json={"inputs": {"notes": "x" * 1_000_001}}),
        client.post("/predict", content=b" " * (17 << 20)),
        client.post("/predict", content=b"[" + b"0," * (1 << 21) + b"0]"),
        client.post("/predict", content=b"x", headers={"content-type": "text/csv"}),
        client.post("/predict/batch", json={"items": [{}] * 300}),
        client.post("/predict/batch", json={"items": [{}, {"inputs": {"image": "AAAA"}}]}),
        client.get("/nope"),
        client.get("/predict"),
    ]
    return [answer.text for answer in answers]


def of_keys(make_client: Any, bundle: Any, tmp_path: Path) -> list[str]:
    (tmp_path / "keys").write_text(f"{KEY}\n")
    client = make_client(bundle, api_keys=tmp_path / "keys")
    keys: list[dict[str, str]] = [{}, {"X-API-Key": "wrong"}, {"X-API-Key": KEY}]
    return [client.get("/admin/models", headers=headers).text for headers in keys]


def of_the_service(make_client: Any, fake_bundle: Any, runtime: Any, patch: pytest.MonkeyPatch) -> list[str]:
    """What goes wrong inside, with words that should stay there."""
    runtime.get_output = fail
    ask = {"json": {"inputs": {"notes": "spot"}}}
    answers = [make_client(fake_bundle).post("/predict", **ask).text, make_client(None).get("/readyz").text]
    runtime.get_output = runtime.evenly
    with patch.context() as patched:
        patched.setattr("tailfuse_service.http.routes.predict.format_answer", fail)
        patched.setattr("tailfuse_service.http.routes.model.ModelInfo", fail)
        client = make_client(fake_bundle)
        answers += [client.post("/predict", **ask).text, client.get("/model").text]
    return answers


def of_admins(tmp_path: Path) -> list[str]:
    """What is said of bundles: a name that is not there, one that is damaged, a role that cannot be."""
    folder, keys = tmp_path / "bundles", tmp_path / "admins"
    folder.mkdir()
    write_tiny_bundle(folder / "v1", version="1")
    keys.write_text(f"{KEY}\n")
    settings = Settings(bundle=folder, admin_keys=keys)
    repository, desired_state = Repository(settings, pass_all()), DesiredStateStore(None, None)
    bundles = repository.open(desired_state.read().unloaded)
    app = create_app(settings, *bundles, repository=repository, desired_state=desired_state)
    with TestClient(app, headers={"X-API-Key": KEY}) as client:
        with (folder / "v1" / "model.onnx").open("ab") as file:
            file.write(b"\0")
        answers = [
            client.post("/models/none/predict", json={"inputs": {"notes": "spot"}}),
            client.post("/admin/load", json={"path": "../v1"}),
            client.post("/admin/load", json={"path": "v1"}),
            client.post("/admin/models/skin-lesions/promote", json={"version": "2"}),
        ]
    return [answer.text for answer in answers]


async def of_load(tiny_bundle: Path, fake_bundle: Any, runtime: Any) -> list[str]:
    runtime.hold()
    answers = []
    for settings, callers in (
        (Settings(bundle=tiny_bundle, request_timeout_s=0.2, max_queue=1, max_items=1), 3),
        (Settings(bundle=tiny_bundle, request_timeout_s=0.2, max_concurrency=1), 2),
    ):
        app = create_app(settings, fake_bundle)
        calls = [Call(app, "/predict", [BODY]) for _ in range(callers)]
        await asyncio.gather(*(call.status() for call in calls))
        answers += [json.dumps(call.problem()) for call in calls]
    runtime.release()
    return answers


@pytest.mark.slow
def test_no_error_tells_of_the_machine(
    client: Any, make_client: Any, bundle: Any, fake_bundle: Any, runtime: Any, tiny_bundle: Path,
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    answers = [
        *of_forms_and_bodies(client),
        *of_keys(make_client, bundle, tmp_path),
        *of_the_service(make_client, fake_bundle, runtime, monkeypatch),
        *of_admins(tmp_path),
        *asyncio.run(of_load(tiny_bundle, fake_bundle, runtime)),
    ]
    told = [word for word in (*TELLTALES, f"/{getpass.getuser()}/") if len(word) > 1]
    for answer in answers:
        assert [word for word in told if word.lower() in answer.lower()] == [], answer
        assert not re.search(
            r"\b(service|model)\.(?!onnx\b|ts\b)[a-z]|\.py\b|line \d+, in |pid|errno", answer
        ), answer
    slugs = {slug for answer in answers for slug in re.findall(r"urn:tailfuse:problem:([a-z-]+)", answer)}
    every = (answerable(errors.ClientError) | answerable(errors.ServerError)) - OF_THE_CONNECTION
    assert slugs == every - {errors.BundleError.slug}
