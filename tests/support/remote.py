"""Bundles in stores that do as they are told."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

PIECE = 1000


class FakeRemote:
    """A bundle in a store: the files of a folder, or other bytes in the place of some.

    A value that is an exception is raised; `read` has the names of the files that were asked for.
    """

    def __init__(self, folder: Path, **others: bytes | Exception) -> None:
        self.files: dict[str, bytes | Exception] = {
            **{file.name: file.read_bytes() for file in folder.iterdir()},
            **{name.replace("_", "."): content for name, content in others.items()},
        }
        self.read: list[str] = []

    def stream(self, file: str) -> Iterator[bytes]:
        self.read.append(file)
        content = self.files.get(file, FileNotFoundError(file))
        if isinstance(content, Exception):
            raise content
        for at in range(0, len(content), PIECE):
            yield content[at : at + PIECE]


class EndlessRemote(FakeRemote):
    """Its graph never ends; `sent` has the number of its bytes that were taken."""

    sent = 0

    def stream(self, file: str) -> Iterator[bytes]:
        if file != "model.onnx":
            yield from super().stream(file)
            return
        while True:
            self.sent += PIECE
            yield bytes(PIECE)


class FakeStore:
    """A store whose bundles are folders of this machine, by name; `failure` is raised if it is set."""

    def __init__(self, **bundles: FakeRemote) -> None:
        self.bundles = {name.removeprefix("v"): bundle for name, bundle in bundles.items()}
        self.failure: Exception | None = None
        self.asked = 0

    def find(self) -> Mapping[str, FakeRemote]:
        self.asked += 1
        if self.failure is not None:
            raise self.failure
        return dict(self.bundles)

    def write(self, files: Sequence[Path], report: object) -> None:
        raise AssertionError("nobody writes to it")
