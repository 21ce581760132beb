"""Bundles in registries of containers: an image manifest for each, with a layer for each of its files."""

import re
from collections.abc import Iterator, Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

from tailfuse_service.bundle import BundleError, sha256
from tailfuse_service.stores.address import Address
from tailfuse_service.stores.registry import MANIFEST_TYPE, Registry
from tailfuse_service.stores.store import RemoteBundle, Report

ARTIFACT_TYPE = "application/vnd.tailfuse.bundle.v1"
FILE_TYPE = "application/vnd.tailfuse.bundle.file.v1"
TITLE = "org.opencontainers.image.title"  # the name of a layer's file
# The descriptor that the OCI specification has for a configuration that says nothing.
EMPTY = b"{}"
EMPTY_CONFIG = {
    "mediaType": "application/vnd.oci.empty.v1+json",
    "digest": "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a",
    "size": len(EMPTY),
}
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
REFERENCE = re.compile(
    rf"([^/]+)/({PART}(?:/{PART})*)(?::([A-Za-z0-9_][A-Za-z0-9._-]{{0,127}}))?(?:@(sha256:[0-9a-f]{{64}}))?"
)


class OciStore:
    """A repository of a registry: the bundle of a tag or digest, or those of all tags."""

    def __init__(self, address: Address) -> None:
        found = REFERENCE.fullmatch(address.path)
        if found is None:
            raise BundleError(f"{address} is not an address like oci://ghcr.io/acme/skin:4")
        host, repository, self._tag, self._digest = found.groups()
        self._registry = Registry(host, repository)

    def find(self) -> Mapping[str, RemoteBundle]:
        """Return the bundle of the tag or digest, else those of all tags. Raises what requests raises."""
        reference = self._digest or self._tag
        if reference is not None:
            return {"": OciBundle(self._registry, reference)}
        return {tag: OciBundle(self._registry, tag) for tag in self._registry.list_tags()}

    def write(self, files: Sequence[Path], report: Report) -> None:
        """Write the files as layers, then the image manifest that names them. Raises FileExistsError."""
        if self._tag is None or self._digest is not None:
            raise BundleError("push to a tag, as in oci://ghcr.io/acme/skin:4")
        if self._registry.has_manifest(self._tag):
            raise FileExistsError("the tag is there already; push to a new one")
        layers = []
        for file in files:
            digest, size = f"sha256:{sha256(file)}", file.stat().st_size
            with file.open("rb") as content:
                self._registry.write_blob(digest, content)
            report(file.name, size)
            layers.append(
                {"mediaType": FILE_TYPE, "digest": digest, "size": size, "annotations": {TITLE: file.name}}
            )
        self._registry.write_blob(str(EMPTY_CONFIG["digest"]), BytesIO(EMPTY))
        artifact = {
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "artifactType": ARTIFACT_TYPE,
            "config": EMPTY_CONFIG,
            "layers": layers,
        }
        self._registry.write_manifest(self._tag, artifact)


class OciBundle:
    """The image manifest of a tag or digest. It is read once for all files: a tag may move meanwhile."""

    def __init__(self, registry: Registry, reference: str) -> None:
        self._registry = registry
        self._reference = reference
        self._layers: dict[str, str] | None = None  # digests by file

    def stream(self, file: str) -> Iterator[bytes]:
        """Yield a file in pieces. Raises FileNotFoundError, BundleError, and what requests raises."""
        if self._layers is None:
            self._layers = dict(read_layers(self._registry.read_manifest(self._reference)))
        if file not in self._layers:
            raise FileNotFoundError(file)
        yield from self._registry.stream_blob(self._layers[file])


def read_layers(artifact: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield file and digest of each layer that has both; what is no bundle may have none."""
    for layer in artifact.get("layers") or []:
        try:
            name, digest = layer["annotations"][TITLE], layer["digest"]
        except (KeyError, TypeError):
            continue
        if isinstance(name, str) and isinstance(digest, str) and DIGEST.fullmatch(digest):
            yield name, digest
