"""The reference of the spec's keys, from the models that check a spec."""

import inspect
from typing import Any

import yaml
from pydantic import BaseModel
from tailfuse.modalities import KINDS
from tailfuse.spec.schema import SECTIONS, Spec

from docs.tables import HEADER, make_table

BOUNDS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}


def make_spec_page() -> str:
    """Return the page of keys."""
    parts = [
        f"""{HEADER}
# Keys of the spec

[The spec](../SPEC.md) explains them by topic. A key without a default is required. Any other key is an error.

## Top level

{make_keys_table(Spec)}
"""
    ]
    for name, model in SECTIONS.items():
        parts.append(f"## {name}\n\n{inspect.getdoc(model)}\n\n{make_keys_table(model)}\n")
    parts.append(
        "## modalities\n\nEach modality has a name of its own, a `kind`, and the keys of that kind.\n"
    )
    for name, kind in KINDS.items():
        parts.append(f"### kind: {name}\n\n{inspect.getdoc(kind.spec)}\n\n{make_keys_table(kind.spec)}\n")
    return "\n".join(parts)


def make_keys_table(model: type[BaseModel]) -> str:
    """Return the table of a model's keys."""
    schema = model.model_json_schema()
    rows = [
        (f"`{key}`", describe_type(part), describe_default(part), model.model_fields[key].description)
        for key, part in schema["properties"].items()
        if key != "kind"
    ]
    return make_table(["key", "value", "default", "meaning"], rows)


def describe_default(schema: dict[str, Any]) -> str:
    """Return a default as a spec would have it, or an empty text for a key that is required."""
    if schema.get("$ref") or isinstance(schema.get("default"), dict):
        return "its keys' defaults"
    return f"`{write_yaml(schema['default'])}`" if "default" in schema else ""


def write_yaml(value: Any) -> str:
    """Return a value as YAML on one line."""
    return yaml.safe_dump(value, default_flow_style=True, width=1000).removesuffix("...\n").strip()


def describe_type(schema: dict[str, Any]) -> str:
    """Return which values a key takes, in words."""
    if options := schema.get("anyOf") or schema.get("oneOf"):
        return " or ".join(dict.fromkeys(map(describe_type, options)))
    if "$ref" in schema:
        return "keys"
    if "enum" in schema:
        return ", ".join(f"`{each}`" for each in schema["enum"])
    bounds = " and ".join(f"{sign} {schema[key]}" for key, sign in BOUNDS.items() if key in schema)
    match schema.get("type"):
        case "string":
            return "path" if schema.get("format") == "path" else "text"
        case "array" if "prefixItems" in schema:
            return f"[{', '.join(map(describe_type, schema['prefixItems']))}]"
        case "array":
            return f"list of {describe_type(schema['items'])}"
        case "object":
            return f"{describe_type(schema['additionalProperties'])} by name"
        case None:
            return "text, or number by class"  # of a key that a function checks
        case kind:
            return f"{kind} {bounds}".strip()
