"""The reference of the HTTP API, from openapi/openapi.yaml."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from docs.tables import HEADER, make_table

DOCUMENT = Path(__file__).parents[1] / "openapi" / "openapi.yaml"
METHODS = ("get", "put", "post", "delete", "patch")


def make_http_page() -> str:
    """Return the page of operations and schemas."""
    document = yaml.safe_load(DOCUMENT.read_text(encoding="utf-8"))
    operations = [
        (method, path, item[method])
        for path, item in document["paths"].items()
        for method in METHODS
        if method in item
    ]
    summary = make_table(
        ["call", "what it does"], [(f"`{m.upper()} {path}`", each["summary"]) for m, path, each in operations]
    )
    details = "\n".join(line for each in operations for line in make_operation(*each))
    described = "\n".join(make_schema(*each) for each in document["components"]["schemas"].items())
    return f"""{HEADER}
# The HTTP API

This page is [openapi/openapi.yaml](../../openapi/openapi.yaml), the document of a service without a bundle.
A running service has its own at `/openapi.json`, with the inputs of its bundle, and shows it at `/docs`.
[The Open Inference Protocol](../PROTOCOLS.md) at `/v2` has [another](../../openapi/open_inference.yaml).
[Errors](errors.md) lists what `type` may be.
[How to generate a client](../howto/generate-client.md) has calls of generated code.

{summary}

{details}
## Schemas

{described}"""


def make_operation(method: str, path: str, operation: dict[str, Any]) -> Iterator[str]:
    """Yield the lines of an operation: what it does, parameters, body, responses."""
    yield f"## {method.upper()} {path}\n"
    yield f"{operation['summary']}. {operation.get('description', '')}".strip() + "\n"
    if parameters := operation.get("parameters"):
        rows = [
            (f"`{each['name']}`", each["in"], describe_schema(each["schema"]), each.get("description", ""))
            for each in parameters
        ]
        yield make_table(["parameter", "in", "type", "meaning"], rows) + "\n"
    for media, body in operation.get("requestBody", {}).get("content", {}).items():
        yield f"Body: `{media}`: {describe_schema(body.get('schema', {}))}.\n"
    answers = [
        (status, describe_content(response), response.get("description", ""))
        for status, response in operation["responses"].items()
    ]
    yield make_table(["status", "body", "meaning"], answers) + "\n"


def describe_content(response: dict[str, Any]) -> str:
    """Return what a response holds."""
    return ", ".join(
        f"`{media}`: {describe_schema(body.get('schema', {}))}"
        for media, body in response.get("content", {}).items()
    )


def make_schema(name: str, schema: dict[str, Any]) -> str:
    """Return the section of a schema."""
    required = set(schema.get("required", ()))
    rows = [
        (f"`{key}`", describe_schema(part), "yes" if key in required else "", part.get("description", ""))
        for key, part in schema.get("properties", {}).items()
    ]
    table = make_table(["member", "type", "required", "meaning"], rows) if rows else describe_schema(schema)
    # The table of errors is a page of its own.
    paragraphs = [each for each in schema.get("description", "").split("\n\n") if not each.startswith("|")]
    described = " ".join(" ".join(paragraphs).split())
    return "\n\n".join(filter(None, [f"### {name}", described, table])) + "\n"


def describe_schema(schema: dict[str, Any]) -> str:
    """Return a schema's type in words; those with a name are links."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if options := schema.get("anyOf") or schema.get("oneOf") or schema.get("allOf"):
        return " or ".join(dict.fromkeys(map(describe_schema, options)))
    if "const" in schema:
        return f"`{schema['const']}`"
    if "enum" in schema:
        return ", ".join(f"`{each}`" for each in schema["enum"])
    match schema.get("type"):
        case "array" if "prefixItems" in schema:
            return f"[{', '.join(map(describe_schema, schema['prefixItems']))}]"
        case "array":
            return f"array of {describe_schema(schema.get('items', {}))}"
        case "object" if isinstance(schema.get("additionalProperties"), dict):
            return f"object of {describe_schema(schema['additionalProperties'])}"
        case "object" if "properties" in schema:
            members = [f"`{key}`: {describe_schema(part)}" for key, part in schema["properties"].items()]
            return f"object of {', '.join(members)}"
        case None:
            return "any"
        case kind:
            return str(kind)
