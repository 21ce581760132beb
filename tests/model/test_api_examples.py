"""The examples in the docstrings of the Python API are run."""

import doctest
import importlib
import pkgutil
from pathlib import Path

import pytest
import tailfuse
import tailfuse.api

from tests.support.bundles import write_tiny_bundle

PARTS = [f"tailfuse.api.{module.name}" for module in pkgutil.iter_modules(tailfuse.api.__path__)]


@pytest.mark.parametrize("name", ["tailfuse", *PARTS])
def test_examples_say_what_they_print(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    module = importlib.import_module(name)
    names = {**vars(module), "tailfuse": tailfuse, "model": tailfuse.load(write_tiny_bundle(Path("bundle")))}
    for example in doctest.DocTestFinder(exclude_empty=True).find(module, globs=names):
        result = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(example)
        assert not result.failed, example.name


def test_the_public_calls_have_examples() -> None:
    for name in tailfuse.__all__:
        value = getattr(tailfuse, name)
        assert name == "__version__" or ">>>" in value.__doc__ or name in ("Model", "Report"), name
