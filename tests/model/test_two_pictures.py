"""Two pictures of one sample are two modalities."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from PIL import Image
from starlette.testclient import TestClient
from tailfuse_service.app import create_app
from tailfuse_service.bundle import Bundle, open_bundle
from tailfuse_service.modalities import ImageModality
from tailfuse_service.settings import Settings

pytestmark = pytest.mark.slow

SPEC = """\
name: coins
table: table.parquet
label: label
split: split
modalities:
  front: {kind: image, column: front, size: 8}
  back: {kind: image, column: back, size: [6, 10]}
network: {width: 8}
training: {epochs: 2, folds: 0}
"""


def picture(level: int, size: tuple[int, int] = (9, 9)) -> bytes:
    file = io.BytesIO()
    Image.new("L", size, level).save(file, "PNG")
    return file.getvalue()


@pytest.fixture(scope="module")
def coins(tmp_path_factory: pytest.TempPathFactory, trained_by: Any) -> Bundle:
    """A bundle of two pictures, hardly trained; some rows have one of them only."""
    folder: Path = tmp_path_factory.mktemp("coins")
    levels = np.random.default_rng(0).integers(0, 256, (40, 2)).tolist()
    pl.DataFrame(
        {
            "label": ["real", "fake"] * 20,
            "split": (["train"] * 6 + ["val"] * 2 + ["test"] * 2) * 4,
            "front": [None if at % 5 == 4 else picture(front) for at, (front, _) in enumerate(levels)],
            "back": [None if at % 7 == 6 else picture(back, (5, 7)) for at, (_, back) in enumerate(levels)],
        }
    ).write_parquet(folder / "table.parquet")
    (folder / "spec.yaml").write_text(SPEC)
    return open_bundle(trained_by(folder / "spec.yaml", folder / "run").bundle)


def test_each_picture_is_fitted_and_measured_by_itself(coins: Bundle) -> None:
    shapes = {
        name: (each.height, each.width)
        for name, each in coins.manifest.modalities.items()
        if isinstance(each, ImageModality)
    }
    assert shapes == {"front": (8, 8), "back": (6, 10)}
    assert set(coins.manifest.metrics) >= {"front", "back", "front+back"}


@pytest.mark.parametrize("sent", [("front",), ("back",), ("front", "back")])
def test_either_picture_or_both_are_answered(coins: Bundle, sent: tuple[str, ...]) -> None:
    with TestClient(create_app(Settings(bundle=Path("coins")), coins)) as client:
        response = client.post("/predict", files={name: (f"{name}.png", picture(200)) for name in sent})
    modalities = response.json()["modalities"]
    assert [name for name, each in modalities.items() if each["present"]] == list(sent)
    assert sum(each["weight"] for each in modalities.values()) == pytest.approx(1, abs=1e-5)
