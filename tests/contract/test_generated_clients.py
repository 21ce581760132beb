"""The OpenAPI document has what generators of clients need, and they make clients of it that work."""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from starlette.testclient import TestClient
from tailfuse_service.bundle import Bundle

from tests.support.generators import CALLS, GENERATOR, describe_unusual, install_generator
from tests.support.pages import make_script, read_blocks, run_script
from tests.support.ports import find_free_port
from tests.support.process import environment, ran, start_service

ROOT = Path(__file__).parents[2]
PAGE = "docs/howto/generate-client.md"
COMMITTED = ROOT / "openapi" / "openapi.yaml"
# Keywords of JSON Schema 2020-12 and of OpenAPI that the document may use. Another one is a mistake, such as
# pydantic's `ge` where it does not know what that is of.
KEYWORDS = {
    "$ref", "additionalProperties", "anyOf", "const", "contentEncoding", "contentMediaType",
    "default", "description", "discriminator", "enum", "examples", "exclusiveMaximum", "exclusiveMinimum",
    "format", "items", "maxItems", "maxLength", "maximum", "minItems", "minLength", "minProperties",
    "minimum", "oneOf",
    "pattern", "prefixItems", "properties", "required", "title", "type",
}  # fmt: skip


@pytest.fixture
def documents(client: TestClient, bundle: Bundle) -> list[Any]:
    """The committed document, that of the tiny bundle, and one with every kind of modality."""
    described = client.get("/openapi.json").json()
    return [yaml.safe_load(COMMITTED.read_text()), described, describe_unusual(described, bundle)]


def find_schemas(described: Any) -> Iterator[Any]:
    """Yield every schema of a document, also those within others."""
    holders: list[Any] = []
    for operation in list_operations(described):
        bodies = [operation.get("requestBody", {}), *operation["responses"].values()]
        holders += operation.get("parameters", [])
        holders += [each for body in bodies for each in body.get("content", {}).values()]
    schemas = [holder["schema"] for holder in holders if "schema" in holder]
    for schema in [*described["components"]["schemas"].values(), *schemas]:
        yield from walk(schema)


def walk(schema: Any) -> Iterator[Any]:
    """Yield a schema and those within it."""
    yield schema
    inner = [*schema.get("anyOf", []), *schema.get("oneOf", []), *schema.get("prefixItems", [])]
    inner += [*schema.get("properties", {}).values()]
    inner += [schema[key] for key in ("items", "additionalProperties") if isinstance(schema.get(key), dict)]
    for each in inner:
        yield from walk(each)


def list_operations(described: Any) -> list[Any]:
    return [operation for path in described["paths"].values() for operation in path.values()]


def test_an_array_says_what_it_holds(documents: list[Any]) -> None:
    for schema in (schema for described in documents for schema in find_schemas(described)):
        types = schema.get("type", [])
        if "array" in ([types] if isinstance(types, str) else types):
            assert "items" in schema or "prefixItems" in schema, schema


def test_a_schema_has_no_keyword_that_nobody_knows(documents: list[Any]) -> None:
    for schema in (schema for described in documents for schema in find_schemas(described)):
        assert not schema.keys() - KEYWORDS, schema


def test_an_alternative_has_a_type(documents: list[Any]) -> None:
    """The generator for Python drops the operation of a union one of whose alternatives may be anything."""
    for schema in (schema for described in documents for schema in find_schemas(described)):
        for alternative in [*schema.get("anyOf", []), *schema.get("oneOf", [])]:
            assert alternative.keys() & {"type", "$ref", "anyOf", "oneOf"}, schema


def test_operations_have_names_of_their_own(documents: list[Any]) -> None:
    for described in documents:
        names = [operation["operationId"] for operation in list_operations(described)]
        assert len(set(names)) == len(names)
        assert all(re.fullmatch("[a-z]+([A-Z][a-z]+)*", name) for name in names), names
        assert {"predict", "predictBatch", "reloadModels"} < set(names)


def test_a_document_says_where_its_server_is(documents: list[Any]) -> None:
    assert [described["servers"] for described in documents] == [[{"url": "/"}]] * 3


@pytest.fixture(scope="module")
def generator(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return install_generator(tmp_path_factory.mktemp("generator"))


@pytest.mark.slow
@pytest.mark.e2e
def test_openapi_python_client_takes_every_operation(
    documents: list[Any], generator: Path, tmp_path: Path
) -> None:
    for number, described in enumerate(documents):
        file, out = tmp_path / f"{number}.json", tmp_path / f"{number}"
        file.write_text(json.dumps(described))
        done = ran(str(generator), "generate", "--path", str(file), "--output-path", str(out))
        assert done.returncode == 0, done.stderr
        assert "will not be generated" not in done.stdout
        assert "Unable to process schema" not in done.stdout
        names = {operation["operationId"] for operation in list_operations(described)}
        made = {each.stem for each in out.glob("*/api/*/*.py")} - {"__init__"}
        assert made == {re.sub("([A-Z])", r"_\1", name).lower() for name in names}


@pytest.mark.slow
@pytest.mark.e2e
def test_a_generated_client_is_answered(
    tiny_bundle: Path, picture: bytes, generator: Path, tmp_path: Path
) -> None:
    """JSON, a form with a file, a batch, the model's description and a problem."""
    service = start_service(tiny_bundle, log=tmp_path / "service.log")
    try:
        (tmp_path / "lesion.png").write_bytes(picture)
        made = ran(str(generator), "generate", "--url", f"{service.url}/openapi.json", cwd=tmp_path)
        assert made.returncode == 0, made.stderr
        (tmp_path / "calls.py").write_text(CALLS)
        done = subprocess.run(
            [generator.parent / "python", "calls.py", service.url], cwd=tmp_path, capture_output=True,
            text=True, env=environment(PYTHONPATH="skin-lesions-client"), timeout=120,
        )  # fmt: skip
    finally:
        assert service.stop() == 0
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "json": ["image", "clinical", "notes"],
        "form": ["image", "clinical"],
        "batch": ["Answer", "Problem"],
        "model": {"image": "ImageModality", "clinical": "TabularModality", "notes": "TextModality"},
        "problem": "urn:tailfuse:problem:unknown-model",
    }


@pytest.mark.slow
@pytest.mark.e2e
@pytest.mark.needs("curl", "npm", "node")
def test_the_page_s_calls_of_generated_code_print_what_it_shows(quickstart: Path, tmp_path: Path) -> None:
    blocks = read_blocks(PAGE)
    (tmp_path / "quickstart").symlink_to(quickstart)
    done = run_script(make_script(blocks, find_free_port()), tmp_path)
    assert done.returncode == 0, done.stderr + done.stdout
    shown = [block.text for block in blocks if block.language == "text"]
    assert len(shown) == 2
    assert [text for text in shown if text not in done.stdout] == [], done.stdout


def test_the_page_s_versions_are_those_of_the_tests() -> None:
    text = (ROOT / PAGE).read_text()
    packages = json.loads((ROOT / "client-js" / "package.json").read_text())["devDependencies"]
    assert f"install {GENERATOR}\n" in text
    for name in ("openapi-typescript", "typescript", "@types/node"):
        assert f" {name}@{packages[name]}" in text
