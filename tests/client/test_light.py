"""An application that asks installs an HTTP library and nothing else."""

import subprocess
import sys
from importlib.metadata import requires
from pathlib import Path

SCRIPT = """
import sys
for name in "numpy PIL pandas torch onnxruntime orjson pydantic click service model".split():
    sys.modules[name] = None
from tailfuse_client import Client
from tailfuse_client.requests import make_predict_request
print(make_predict_request({"image": b"1", "clinical": {"age": 1.5}, "notes": "spot"}, {}).files.keys())
"""


def test_it_asks_without_what_the_service_needs() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    always = [each for each in requires("tailfuse-client") or [] if "extra" not in each]
    assert [each.partition(">")[0] for each in always] == ["httpx2"]


def test_a_picture_given_as_an_array_asks_for_pillow() -> None:
    script = (
        "import sys; sys.modules['PIL'] = None\n"
        "import numpy\nfrom tailfuse_client.values import encode_value\n"
        "encode_value(numpy.zeros((2, 2), numpy.uint8))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    assert done.stderr.strip().endswith("needs Pillow; pip install pillow")


def test_its_types_are_told() -> None:
    import tailfuse_client

    assert (Path(tailfuse_client.__file__).parent / "py.typed").exists()
