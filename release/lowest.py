"""Print the lowest versions that pyproject.toml allows, as constraints for pip.

Direct dependencies of the base install, of the service's extras and of the client are at their floors. What
the extra `test` adds is at its version in constraints.txt, since it is the service that is tried. What these
bring is the newest that fits. `make test-lowest` installs them and runs the service's tests.
"""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
SERVICE_EXTRAS = ("grpc", "sign", "formats", "text")
REQUIREMENT = re.compile(r"(?P<name>[\w.-]+)(\[[\w,-]+\])?(?P<range>.*)")
FLOOR = re.compile(r"(?:>=|==)\s*([\w.!+]+)")


def parse_requirement(text: str) -> tuple[str, str]:
    """Return the normalised name and the lowest version of a requirement such as `uvicorn>=0.46,<0.55`.

    Raises ValueError if it has no lowest version.
    """
    match, floor = REQUIREMENT.fullmatch(text), FLOOR.search(text)
    if match is None or floor is None:
        raise ValueError(f"'{text}' has no lowest version; write it as name>=version")
    return normalise(match["name"]), floor[1]


def normalise(name: str) -> str:
    """Return a package's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def list_constraints(root: Path = ROOT) -> list[str]:
    """Return `name==version` of every direct dependency, and of the tests' tools."""
    base = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    client = tomllib.loads((root / "client" / "pyproject.toml").read_text())["project"]
    extras = [each for extra in SERVICE_EXTRAS for each in base["optional-dependencies"][extra]]
    direct = [*base["dependencies"], *extras, *client["dependencies"]]
    floors = dict(parse_requirement(each) for each in direct)
    tested = dict(
        parse_requirement(line)
        for line in (root / "constraints.txt").read_text().splitlines()
        if line and line[0] != "#"
    )
    tools = {name for name, _ in map(parse_requirement, base["optional-dependencies"]["test"])} - set(floors)
    versions = floors | {name: tested[name] for name in tools}
    return [f"{name}=={version}" for name, version in sorted(versions.items())]


if __name__ == "__main__":
    print("\n".join(list_constraints()))
