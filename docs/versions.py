"""Add a built site to a folder of versions, with the list of them that pages show.

`make docs-version` runs it. index.html leads to the latest version; versions in the folder stay.
"""

import json
import re
import shutil
import sys
from pathlib import Path

RELEASE = re.compile(r"\d+(\.\d+)*")
DEVELOPMENT = "dev"  # what is not released yet: listed first, and never the latest
LATEST = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>Documentation</title>
<meta http-equiv="refresh" content="0; url={version}/index.html">
<a href="{version}/index.html">Version {version}</a>
</html>
"""


class InvalidVersion(ValueError):
    """A version is not numbers with dots between them, nor `dev`."""


def add_version(site: Path, folder: Path, version: str) -> None:
    """Copy a built site into the folder of versions, in place of the same version. Raises InvalidVersion."""
    if version != DEVELOPMENT and not RELEASE.fullmatch(version):
        raise InvalidVersion(f"version {version!r}: expected numbers such as 0.2, or {DEVELOPMENT}")
    folder.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(folder / version, ignore_errors=True)
    shutil.copytree(site, folder / version)
    versions = find_versions(folder)
    latest = next((each for each in versions if each != DEVELOPMENT), DEVELOPMENT)
    listed = [
        {"version": each, "title": each, "aliases": ["latest"] if each == latest else []} for each in versions
    ]
    (folder / "versions.json").write_text(json.dumps(listed, indent=2) + "\n", encoding="utf-8")
    (folder / "index.html").write_text(LATEST.format(version=latest), encoding="utf-8")


def find_versions(folder: Path) -> list[str]:
    """Return the versions of a folder, the newest first."""
    names = [path.parent.name for path in folder.glob("*/index.html")]
    releases = [name for name in names if RELEASE.fullmatch(name)]
    releases.sort(key=lambda name: [int(number) for number in name.split(".")], reverse=True)
    return [name for name in names if name == DEVELOPMENT] + releases


def main() -> None:
    """Add the site that is named, to the folder and under the version that are named."""
    site, folder, version = sys.argv[1:]
    try:
        add_version(Path(site), Path(folder), version)
    except InvalidVersion as error:
        sys.exit(str(error))
    print(f"{folder}: {', '.join(find_versions(Path(folder)))}")


if __name__ == "__main__":
    main()
