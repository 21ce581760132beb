"""A YAML document that knows the line of each key."""

import shlex
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import yaml

from tailfuse.errors import SpecError
from tailfuse.files.formats import is_table

Key = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Document:
    """Plain data, the node tree it was made of, and the keys that were written since."""

    path: Path
    data: dict[str, Any]
    root: yaml.MappingNode
    overridden: list[Key] = field(default_factory=list)

    def override(self, text: str) -> None:
        """Write `dotted.key=YAML`. Raises SpecError."""
        dotted, equals, value = text.partition("=")
        *above, last = key = tuple(dotted.strip().split("."))
        if not equals or not all(key):
            raise SpecError(f"--set {text}: write key=value, for example training.epochs=5")
        inner: Any = self.data
        for part in above:
            inner = inner.setdefault(part, {})
            if not isinstance(inner, dict):
                raise SpecError(f"--set {text}: '{part}' is not a mapping")
        try:
            inner[last] = yaml.load(value, TextLoader)
        except (yaml.YAMLError, RecursionError):
            raise SpecError(f"--set {text}: the value is not valid YAML") from None
        self.overridden.append(key)

    def place(self, key: Key) -> str:
        """`spec.yaml:7`, the line of a key, or of the mapping that lacks it; `--set` if it was overridden."""
        if any(key[: len(written)] == written for written in self.overridden):
            return "--set"
        return f"{self.path}:{find_line(self.root, key)}"


class TextLoader(yaml.SafeLoader):
    """Scalars stay text; the spec's models say what they mean. So 1.10 is not 1.1, and `no` is a name."""

    TAGS: ClassVar = "tag:yaml.org,2002:"
    NULL_AND_MERGE: ClassVar = (f"{TAGS}null", f"{TAGS}merge")

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except (ValueError, LookupError, AttributeError) as error:
            # PyYAML's own constructors raise these where a value is not of its tag, as in `!!int abc`.
            tag = node.tag.replace(self.TAGS, "!!")
            raise yaml.constructor.ConstructorError(
                problem=f"'{node.value:.40}' is no {tag}", problem_mark=node.start_mark
            ) from error

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[str] = set()
        pairs = node.value if isinstance(node, yaml.MappingNode) else ()  # no mapping in `!!map text`
        for key in (key for key, _ in pairs if isinstance(key, yaml.ScalarNode)):
            if key.value in seen:
                raise yaml.constructor.ConstructorError(
                    problem=f"the key '{key.value}' is given twice", problem_mark=key.start_mark
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep)


TextLoader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag in TextLoader.NULL_AND_MERGE]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def read_document(path: Path) -> Document:
    """Read a file that holds one mapping. Raises SpecError."""
    if is_table(path.name):
        hint = shlex.join(["tailfuse", "init", str(path)])
        raise SpecError(f"{path} is a table, not a spec; this writes a spec for it: {hint}")
    if path.is_dir():
        raise SpecError(f"{path} is a folder; expected a spec, a YAML file")
    try:
        loader = TextLoader(path.read_text("utf-8-sig"))
        root = loader.get_single_node()
        data = loader.construct_document(root) if root else None
    except OSError as error:
        raise SpecError(f"{path}: {(error.strerror or 'cannot be read').lower()}") from None
    except UnicodeDecodeError:
        raise SpecError(f"{path}: the file is not UTF-8 text") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f":{mark.line + 1}" if mark else ""
        raise SpecError(f"{path}{line}: not valid YAML: {error.problem or error.context}") from None
    except (yaml.YAMLError, RecursionError) as error:
        raise SpecError(f"{path}: not valid YAML: {str(error).splitlines()[0]}") from None
    if data is None:
        raise SpecError(f"{path}: the file is empty")
    if not isinstance(root, yaml.MappingNode) or not isinstance(data, dict):  # !!set makes no dict
        raise SpecError(f"{path}:1: expected keys such as name, table, label and modalities")
    return Document(path, data, root)


def find_line(node: yaml.Node, key: Sequence[str]) -> int:
    """The line (from 1) of a key, or of the innermost mapping on the way to it."""
    line = node.start_mark.line
    for part in key:
        inner = None
        if isinstance(node, yaml.MappingNode):
            for name, value in node.value:
                if name.value == part:
                    line, inner = name.start_mark.line, value
        elif isinstance(node, yaml.SequenceNode):
            inner = node.value[int(part)]
            line = inner.start_mark.line
        if inner is None:
            break
        node = inner
    return line + 1
