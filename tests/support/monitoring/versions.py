"""Versions of a bundle in a folder that a service follows, and the roles they are given."""

import json
import shutil
from pathlib import Path
from typing import Any

from tailfuse_service.bundle import MANIFEST


def copy_version(bundle: Path, version: str, folder: Path, **changes: Any) -> Path:
    """A copy of a bundle that calls itself another version; `changes` are others of its manifest."""
    shutil.copytree(bundle, folder)
    manifest = json.loads((folder / MANIFEST).read_text())
    (folder / MANIFEST).write_text(json.dumps(manifest | {"version": version} | changes))
    return folder


class Versions:
    """`folder` is what the service follows, `roles_file` what `--roles` names."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "bundles"
        self.roles_file = folder / "roles.json"
        self.folder.mkdir(parents=True)

    def put(self, bundle: Path, name: str) -> None:
        """Copy a bundle into the folder; it appears whole."""
        beside = self.folder / f".{name}"
        shutil.copytree(bundle, beside)
        beside.rename(self.folder / name)

    def give(self, model: str, **roles: Any) -> None:
        """Give roles: stable="1", canary={"version": "2", "share": 0.3}, …"""
        beside = self.roles_file.with_suffix(".new")
        beside.write_text(json.dumps({model: roles}))
        beside.rename(self.roles_file)
