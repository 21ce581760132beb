"""What a distribution must and must not hold: the checks of its wheel and of its sdist."""

import tarfile
import tomllib
import zipfile
from dataclasses import dataclass
from email.parser import BytesParser
from pathlib import Path
from typing import Any

# Files that a package may hold beside its modules: report templates and the gRPC protocol.
SUFFIXES = {".py", ".jinja", ".css", ".proto", ".binpb"}
CONSOLE = "tailfuse_service/console/"  # a page: scripts and their types, an icon, their licences
# The only data: 2,000 digits, and where they come from; and what the bench installs for its rivals.
DATA = {
    "tailfuse/quickstart/mfeat.npz",
    "tailfuse/quickstart/README.md",
    "tailfuse_bench/rivals/requirements.txt",
}
# Folders of the checkout that have no place inside a package.
FOREIGN = {"tests", "test", "benchmarks", "bench", "results", "docs", "monitoring"}


@dataclass(frozen=True)
class Distribution:
    """A folder with a pyproject.toml that describes a project."""

    folder: Path
    project: dict[str, Any]
    packages: list[str]  # folders that the wheel takes, relative to `folder`

    @property
    def file_name(self) -> str:
        """The beginning of the names of its files: tailfuse_client-0.2.0."""
        return f"{self.project['name'].replace('-', '_')}-{self.project['version']}"

    @property
    def wheel(self) -> str:
        return f"{self.file_name}-py3-none-any.whl"

    @property
    def sdist(self) -> str:
        return f"{self.file_name}.tar.gz"

    @property
    def licence_files(self) -> list[str]:
        return list(self.project.get("license-files", ["LICENSE"]))

    def package_names(self) -> set[str]:
        return {Path(package).name for package in self.packages}


def read_distribution(folder: Path) -> Distribution:
    """Read the distribution of a folder from its pyproject.toml. Raises OSError, KeyError."""
    document = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))
    targets = document["tool"]["hatch"]["build"]["targets"]
    return Distribution(folder, document["project"], targets["wheel"]["packages"])


def find_distributions(root: Path) -> list[Distribution]:
    """Return the distribution of the root and those of its folders."""
    files = [root / "pyproject.toml", *sorted(root.glob("*/pyproject.toml"))]
    return [read_distribution(file.parent) for file in files]


def check_wheel(path: Path, distribution: Distribution, tracked: set[str]) -> list[str]:
    """Return what is wrong with a wheel. `tracked` are git's files, relative to the distribution's folder."""
    with zipfile.ZipFile(path) as wheel:
        names = set(wheel.namelist())
        info = f"{distribution.file_name}.dist-info"
        metadata = BytesParser().parsebytes(wheel.read(f"{info}/METADATA"))
    inside = {name for name in names if not name.startswith(f"{info}/")}
    wanted = list_contents(distribution, tracked)
    licences = {f"{info}/licenses/{name}" for name in distribution.licence_files}
    checks = {
        "files that git does not know": inside - wanted,
        "missing files": wanted - inside,
        "foreign files": {name for name in inside if FOREIGN & set(Path(name).parts[1:-1])},
        "data": find_data(inside),
        "missing py.typed": {f"{name}/py.typed" for name in distribution.package_names()} - inside,
        "missing licence files": licences - names,
    }
    problems = [f"{what}: {', '.join(sorted(found))}" for what, found in checks.items() if found]
    if metadata["License-Expression"] != "Apache-2.0":
        problems.append(f"licence {metadata['License-Expression']}, not Apache-2.0")
    return [f"{path.name}: {problem}" for problem in problems]


def list_contents(distribution: Distribution, tracked: set[str]) -> set[str]:
    """Return the files of the packages by their names inside the wheel."""
    return {
        str(Path(name).relative_to(Path(package).parent))
        for package in distribution.packages
        for name in tracked
        if Path(name).is_relative_to(package)
    }


def find_data(names: set[str]) -> set[str]:
    """Return the files of a wheel that are neither modules, nor what belongs to these, nor known data."""
    return {
        name
        for name in names - DATA
        if Path(name).suffix not in SUFFIXES
        and Path(name).name != "py.typed"
        and not name.startswith(CONSOLE)
    }


def check_sdist(path: Path, distribution: Distribution, tracked: set[str]) -> list[str]:
    """Return what is wrong with an sdist: it holds what a wheel is built from, and no code of others."""
    with tarfile.open(path) as sdist:
        members = {Path(name) for name in sdist.getnames()}
    names = {str(member.relative_to(distribution.file_name)) for member in members}
    sources = {
        name
        for name in tracked
        if any(Path(name).is_relative_to(package) for package in distribution.packages)
    }
    project = distribution.project
    wanted = sources | {"pyproject.toml", project["readme"], *distribution.licence_files}
    packages = distribution.package_names()
    foreign = {
        name
        for name in names
        if name.endswith(".py") and not packages & set(Path(name).parts) and name not in wanted
    }
    checks = {"missing files": wanted - names, "modules of no package of its own": foreign}
    return [f"{path.name}: {what}: {', '.join(sorted(found))}" for what, found in checks.items() if found]
