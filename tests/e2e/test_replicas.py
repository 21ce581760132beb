"""Two services with one folder of bundles and one file of roles, as replicas have them."""

import json
import os
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from tests.support.bundles import write_tiny_bundle
from tests.support.process import TIMEOUT_S, Service, start_service, until

pytestmark = pytest.mark.e2e

NAME = "skin-lesions"
STABLE, CANARY = "1", "2"
KEYS = [f"user-{number}" for number in range(60)]


class MountedRoles:
    """A file of roles as Kubernetes mounts a ConfigMap: a link into a folder that a rename exchanges."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self._folder = folder
        self._number = 0
        self.path = folder / "roles.json"
        self.share(0.3)
        self.path.symlink_to("..data/roles.json")

    def share(self, share: float) -> None:
        """Give the canary this share of the requests."""
        self._number += 1
        data = self._folder / f"..{self._number}"
        data.mkdir()
        roles = {NAME: {"stable": STABLE, "canary": {"version": CANARY, "share": share}}}
        (data / "roles.json").write_text(json.dumps(roles))
        (self._folder / "..new").symlink_to(data.name)
        os.replace(self._folder / "..new", self._folder / "..data")


@pytest.fixture
def roles(tmp_path: Path) -> MountedRoles:
    return MountedRoles(tmp_path / "roles")


@pytest.fixture
def replicas(tmp_path: Path, roles: MountedRoles) -> Iterator[list[Service]]:
    bundles = tmp_path / "bundles"
    bundles.mkdir()
    for version in (STABLE, CANARY):
        write_tiny_bundle(bundles / f"v{version}", version=version)
    flags = ("--roles", str(roles.path))
    # Python would give each process other hashes of strings.
    started = [start_service(bundles, *flags, log=tmp_path / f"{number}.log") for number in range(2)]
    yield started
    assert [each.stop() for each in started] == [0, 0]


def find_canary_keys(service: Service, path: str, body: Any, version_of: Callable[[Any], str]) -> set[str]:
    """Return the keys whose requests the canary answers."""
    connection = HTTPConnection(*service.address, timeout=TIMEOUT_S)
    found = set()
    for key in KEYS:
        connection.request("POST", path, json.dumps(body), {"x-routing-key": key})
        response = connection.getresponse()
        answer = json.loads(response.read())
        assert response.status == 200, answer
        found |= {key} if version_of(answer) == CANARY else set()
    connection.close()
    return found


def find_by_predict(service: Service) -> set[str]:
    body = {"inputs": {"notes": "a spot"}}
    return find_canary_keys(service, "/predict", body, lambda answer: str(answer["model"]["version"]))


def find_by_v2(service: Service) -> set[str]:
    body = {"inputs": [{"name": "notes", "datatype": "BYTES", "shape": [1], "data": ["a spot"]}]}
    path = f"/v2/models/{NAME}/infer"
    return find_canary_keys(service, path, body, lambda answer: str(answer["model_version"]))


def test_a_key_gets_the_same_version_from_every_replica(replicas: list[Service], roles: MountedRoles) -> None:
    first = [find_by_predict(each) for each in replicas]
    assert first[0] == first[1]
    assert 0 < len(first[0]) < len(KEYS)
    assert find_by_v2(replicas[0]) == find_by_v2(replicas[1]) == first[0]

    roles.share(0.7)
    until(lambda: all(find_by_predict(each) > first[0] for each in replicas), "both follow the new roles")
    assert find_by_predict(replicas[0]) == find_by_predict(replicas[1])
