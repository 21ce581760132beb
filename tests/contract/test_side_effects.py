"""Importing tailfuse changes nothing in the process, and what runs for a while leaves nothing changed."""

import csv
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
from PIL import Image
from tailfuse_service.modalities.limits import PILLOW_MAX_PIXELS

STATE = """
import csv, os, sys, warnings
from PIL import Image

def state():
    found = [dict(os.environ), Image.MAX_IMAGE_PIXELS, csv.field_size_limit(), list(warnings.filters)]
    torch = sys.modules.get("torch")
    if torch is not None:
        found += [torch.get_num_threads(), torch.are_deterministic_algorithms_enabled(), torch.initial_seed()]
    return found
"""


@pytest.mark.parametrize("module", ["tailfuse", "tailfuse_service", "tailfuse_service.app", "tailfuse.cli"])
def test_an_import_has_no_effect(module: str) -> None:
    script = f"{STATE}\nimport numpy\nbefore = state()\nimport {module}\nassert state() == before"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def test_opening_a_bundle_has_no_effect_but_onnxruntime_s_silence(tiny_bundle: Path) -> None:
    """onnxruntime reports every process to its maker, unless a variable that stays set forbids it."""
    script = (
        f"{STATE}\nimport numpy\nos.environ['ORT_DISABLE_TELEMETRY'] = '1'\nbefore = state()\n"
        "from pathlib import Path\n"
        "from tailfuse_service.bundle import open_bundle\n"
        "bundle = open_bundle(Path(sys.argv[1]))\nbundle.run([bundle.sample({'notes': 'spot'})])\n"
        "assert state() == before"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tiny_bundle)], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr


def test_torch_is_left_as_it_was() -> None:
    torch = pytest.importorskip("torch")
    from tailfuse.network.torch_state import torch_state

    before = torch.get_num_threads(), torch.initial_seed(), torch.get_rng_state()

    def fail() -> None:
        with torch_state(deterministic=True, threads=1):
            assert torch.are_deterministic_algorithms_enabled()
            assert torch.get_num_threads() == 1
            torch.manual_seed(7)
            torch.rand(3)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert not torch.are_deterministic_algorithms_enabled()
    assert (torch.get_num_threads(), torch.initial_seed()) == before[:2]
    assert torch.equal(torch.get_rng_state(), before[2])


def test_the_limit_of_a_csv_cell_is_lifted_for_a_block_only() -> None:
    from tailfuse.files.long_cells import long_cells

    before = csv.field_size_limit()
    with long_cells():
        assert csv.field_size_limit() == sys.maxsize
    assert csv.field_size_limit() == before


def test_pillow_refuses_no_image_that_a_setting_allows() -> None:
    assert Image.MAX_IMAGE_PIXELS is not None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        Image._decompression_bomb_check((PILLOW_MAX_PIXELS, 1))
        with pytest.raises(Image.DecompressionBombError):
            Image._decompression_bomb_check((PILLOW_MAX_PIXELS + 1, 1))
