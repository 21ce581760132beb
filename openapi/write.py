"""Write openapi/openapi.yaml, the document of a service without a bundle."""

import sys
from pathlib import Path
from typing import Any

import yaml
from tailfuse_service.app import create_app
from tailfuse_service.http.openapi.document import document
from tailfuse_service.settings import Settings


def as_yaml(described: dict[str, Any]) -> str:
    """The document as it is committed: lists of numbers on one line, long texts as they are."""

    class Dumper(yaml.SafeDumper):
        def ignore_aliases(self, data: Any) -> bool:
            return True

    def text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|" if "\n" in value else None)

    Dumper.add_representer(str, text)
    body = yaml.dump(
        described, Dumper=Dumper, sort_keys=False, allow_unicode=True, width=110, default_flow_style=None
    )
    return f"# Written by `make openapi`; do not edit.\n{body}"


def main() -> None:
    """Write openapi/openapi.yaml, or the file that is named."""
    path = Path(sys.argv[1] if len(sys.argv) > 1 else "openapi/openapi.yaml")
    api = create_app(Settings(bundle=Path("none"))).api
    path.write_text(as_yaml(document(api, None)), encoding="utf-8")


if __name__ == "__main__":
    main()
