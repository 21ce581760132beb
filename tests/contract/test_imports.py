"""The service runs where there is no torch and no training code; its bundle room knows no web."""

import subprocess
import sys

import pytest

SCRIPT = """
import importlib, pkgutil, sys

BLOCKED = set(sys.argv[2].split(","))

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in BLOCKED:
            raise ModuleNotFoundError(f"{name} is blocked")

sys.meta_path.insert(0, Blocker())
package = importlib.import_module(sys.argv[1])
names = [module.name for module in pkgutil.walk_packages(package.__path__, package.__name__ + ".")]
for name in names:
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] not in ("grpc", "google", "ray"):  # an extra, which may be absent
            raise
print(len(names))
"""


@pytest.mark.parametrize(
    ("package", "blocked", "at_least"),
    [
        ("tailfuse_service", "torch,tailfuse,onnx,polars,sklearn", 25),
        ("tailfuse_service.bundle", "torch,tailfuse,fastapi,starlette,uvicorn,prometheus_client", 8),
        ("tailfuse_service.modalities", "torch,tailfuse,fastapi,starlette,uvicorn,prometheus_client", 15),
    ],
)
def test_every_module_is_imported_without(package: str, blocked: str, at_least: int) -> None:
    command = [sys.executable, "-c", SCRIPT, package, blocked]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr
    assert int(result.stdout) >= at_least


def test_a_bundle_is_served_without_torch(tiny_bundle: object) -> None:
    script = (
        "import sys\nsys.modules['torch'] = sys.modules['tailfuse'] = None\n"
        "from pathlib import Path\nfrom tailfuse_service.bundle import open_bundle\n"
        "bundle = open_bundle(Path(sys.argv[1]))\n"
        "print(len(bundle.run([bundle.sample({'notes': 'spot'})])))\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", script, str(tiny_bundle)], capture_output=True, text=True, timeout=120
    )
    assert result.stdout.strip() == "1", result.stderr


@pytest.mark.parametrize(("module", "budget"), [("tailfuse_service.app", 900), ("tailfuse.cli", 520)])
def test_a_start_imports_no_more_modules_than_its_budget(module: str, budget: int) -> None:
    """What a start costs before it does anything, without a clock: FastAPI and NumPy are most of it."""
    script = (
        f"import collections, sys, {module}\n"
        "packages = collections.Counter(name.partition('.')[0] for name in sys.modules)\n"
        "print(len(sys.modules), packages.most_common(8))"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    count, _, packages = result.stdout.partition(" ")
    assert int(count) <= budget, packages


def test_the_heavy_libraries_are_not_imported_with_the_service() -> None:
    script = "import sys, tailfuse_service.app; print({'torch', 'onnxruntime', 'yaml'} & sys.modules.keys())"
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    assert result.stdout.strip() == "set()", result.stderr
