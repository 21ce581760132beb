"""Write the service's settings into the Helm chart's values.schema.json; `make files` runs it."""

import json
from pathlib import Path
from typing import Any

from tailfuse_service.settings import Settings

SCHEMA = Path(__file__).parent / "helm" / "tailfuse" / "values.schema.json"
# Settings for which the chart has values of its own, or which its images cannot have.
CHART_SETTINGS = {
    "bundle", "trusted_keys", "roles", "host", "port", "grpc_port", "metrics_port", "metrics_host",
    "workers", "device", "api_keys", "admin_keys", "allow_anonymous", "runtime",
}  # fmt: skip
LIMITS = ("enum", "minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum")


def describe_setting(name: str, described: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of one value of `settings`: type and limits as the service checks them."""
    kinds = (described, *described.get("anyOf", []))
    choices = [each for each in kinds if each.get("type", "null") != "null"]
    kind = choices[0]["type"] if len(choices) == 1 else "string"
    text = Settings.model_fields[name].description or ""
    limits = {key: choices[0][key] for key in LIMITS if key in choices[0]}
    # `helm --set` passes a fraction on as a string.
    types = ["number", "string"] if kind == "number" else kind
    return {"description": " ".join(text.split()), "type": types, **limits}


def schema() -> str:
    """Return the schema's text, with the present settings."""
    values: dict[str, Any] = json.loads(SCHEMA.read_text(encoding="utf-8"))
    settings = Settings.model_json_schema()["properties"]
    values["properties"]["settings"]["properties"] = {
        name: describe_setting(name, settings[name])
        for name in Settings.model_fields
        if name not in CHART_SETTINGS
    }
    return json.dumps(values, indent=2) + "\n"


if __name__ == "__main__":
    SCHEMA.write_text(schema(), encoding="utf-8")
