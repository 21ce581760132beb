"""Files of class shares, in YAML or JSON: one share for each class."""

import json
from pathlib import Path
from typing import Any

from tailfuse_service.bundle.prior import PRIORS, PriorError
from tailfuse_service.errors import install_hint


def read_prior(text: str) -> str | dict[str, float]:
    """Return the name of a prior, or the shares in the file that `text` names. Raises PriorError."""
    return text if text in PRIORS else read_shares(Path(text))


def read_shares(path: Path) -> dict[str, float]:
    """Read shares by class from a file of YAML or, if its name ends in .json, of JSON. Raises PriorError."""
    try:
        content = path.read_bytes()
    except OSError as error:
        known = ", ".join(PRIORS)
        raise PriorError(f"prior '{path}': {error.strerror}; expected {known} or a file of shares") from None
    document = parse_json(path, content) if path.suffix == ".json" else parse_yaml(path, content)
    if not isinstance(document, dict) or not document:
        raise PriorError(f"{path}: expected a share for each class, such as 'benign: 0.9'")
    return {str(name): parse_share(path, str(name), value) for name, value in document.items()}


def parse_json(path: Path, content: bytes) -> Any:
    """Parse JSON. Raises PriorError."""

    def check_pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        check_unique(path, [name for name, _ in pairs])
        return dict(pairs)

    try:
        return json.loads(content, object_pairs_hook=check_pairs)
    except PriorError:
        raise
    except (ValueError, RecursionError) as error:
        raise PriorError(f"{path}: not valid JSON: {error}") from None


def parse_yaml(path: Path, content: bytes) -> Any:
    """Parse YAML, its scalars as text: `1.0: 0.5` is the class 1.0. Raises PriorError."""
    try:
        import yaml
    except ModuleNotFoundError:
        raise PriorError(
            f"{path}: reading YAML needs PyYAML ({install_hint('train')}); or write a .json file"
        ) from None
    try:
        node = yaml.compose(content, yaml.BaseLoader)
        if isinstance(node, yaml.MappingNode):
            check_unique(path, [str(key.value) for key, _ in node.value])
        return yaml.load(content, yaml.BaseLoader)
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise PriorError(f"{path}: not valid YAML: {str(error).splitlines()[0]}") from None


def check_unique(path: Path, names: list[str]) -> None:
    """Raise PriorError if a class is given twice: parsers silently keep the last one."""
    for name in names:
        if names.count(name) > 1:
            raise PriorError(f"{path}: class '{name:.80}' is given twice")


def parse_share(path: Path, name: str, value: Any) -> float:
    """Parse one share. Raises PriorError."""
    try:
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            raise ValueError
        return float(value)
    except ValueError:
        raise PriorError(f"{path}: the share of class '{name:.80}' is no number: {value!r:.40}") from None
