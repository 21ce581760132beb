"""Corrupted copies, and augmentation."""

from collections.abc import Callable

import pytest
import torch
from tailfuse.modalities import KINDS
from tailfuse.modalities.image.augmentation import augment
from tailfuse_service.modalities import ImageModality, Modality, SeriesModality, TabularModality, TextModality
from tailfuse_service.modalities.series import Channel
from tailfuse_service.modalities.tabular import BooleanColumn


def traces(n: int) -> torch.Tensor:
    """Series of 2 channels, of 6 steps and of 4."""
    rows = torch.randn(n, 6, 3, generator=torch.Generator().manual_seed(1))
    rows[:, :, 2] = torch.arange(6) < 6 - 2 * (torch.arange(n)[:, None] % 2)
    return rows * rows[:, :, 2:]


def corrupt(rows: torch.Tensor, modality: Modality, seed: int = 0) -> torch.Tensor:
    return KINDS[modality.kind].corrupt(rows, modality, torch.Generator().manual_seed(seed))


CASES: dict[str, tuple[Modality, Callable[[int], torch.Tensor]]] = {
    "numbers": (
        TabularModality(columns=tuple(BooleanColumn(name=str(i)) for i in range(5)), width=5),
        lambda n: torch.randn(n, 5, generator=torch.Generator().manual_seed(1)),
    ),
    "one number": (
        TabularModality(columns=(BooleanColumn(name="a"),), width=1),
        lambda n: torch.randn(n, 1, generator=torch.Generator().manual_seed(1)),
    ),
    "pictures": (
        ImageModality(column="p", height=6, width=5, channels=3),
        lambda n: torch.randint(
            0, 256, (n, 3, 6, 5), generator=torch.Generator().manual_seed(1), dtype=torch.uint8
        ),
    ),
    "series": (
        SeriesModality(columns=("s",), channels=(Channel(mean=0, scale=1),) * 2, length=6),
        traces,
    ),
    "texts": (
        TextModality(columns=("t",), buckets=9, ngrams=1, max_tokens=7),
        lambda n: torch.cat([torch.arange(n * 4).view(n, 4) % 9 + 1, torch.zeros(n, 3).long()], 1),
    ),
    "sparse texts": (
        TextModality(
            columns=("t",), buckets=9, ngrams=1, max_tokens=7, encoder="lsa", dimensions=2, known=b""
        ),
        lambda n: (torch.arange(n * 8).view(n, 4, 2) % 9 + 1).int(),
    ),
}


@pytest.mark.parametrize("kind", CASES)
@pytest.mark.parametrize("n", [0, 1, 40])
def test_a_corrupted_copy_has_the_same_shape_and_type_and_the_rows_stay(kind: str, n: int) -> None:
    modality, make = CASES[kind]
    rows = make(n)
    copy = corrupt(rows, modality)
    assert copy.shape == rows.shape
    assert copy.dtype == rows.dtype
    assert torch.equal(rows, make(n))
    assert copy.float().isfinite().all()


@pytest.mark.parametrize("kind", CASES)
def test_nearly_every_row_is_changed_and_by_the_seed(kind: str) -> None:
    modality, make = CASES[kind]
    rows = make(40)
    first, again, other = (corrupt(rows, modality, seed) for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert (first != rows).flatten(1).any(1).float().mean() > 0.9


def test_a_corrupted_text_keeps_its_length_and_its_vocabulary() -> None:
    modality, make = CASES["texts"]
    rows = make(40)
    copy = corrupt(rows, modality)
    assert torch.equal(copy > 0, rows > 0)
    assert isinstance(modality, TextModality)
    assert int(copy.max()) <= modality.buckets


def test_a_corrupted_series_keeps_its_length_and_its_padding() -> None:
    modality, make = CASES["series"]
    rows = make(40)
    copy = corrupt(rows, modality)
    assert torch.equal(copy[:, :, 2], rows[:, :, 2])
    assert (copy[rows[:, :, 2] == 0] == 0).all()


@pytest.mark.parametrize("channels", [1, 3])
def test_augmented_pictures_are_moved_a_little_and_stay_in_range(channels: int) -> None:
    torch.manual_seed(0)
    pictures = torch.randint(0, 256, (16, channels, 12, 9), dtype=torch.uint8)
    moved = augment(pictures)
    assert moved.shape == pictures.shape
    assert moved.dtype == torch.float32
    assert float(moved.min()) >= 0
    assert float(moved.max()) <= 255
    assert (moved != pictures).flatten(1).any(1).all()


def test_an_augmented_picture_of_one_colour_is_only_lit_otherwise() -> None:
    torch.manual_seed(0)
    moved = augment(torch.full((8, 1, 12, 9), 100, dtype=torch.uint8))
    assert torch.allclose(moved, moved[:, :, :1, :1].expand_as(moved), atol=1e-3)
    assert (moved[:, 0, 0, 0] - 100).abs().max() <= 15.01
    assert len(moved[:, 0, 0, 0].unique()) == 8


def test_no_pictures_are_augmented_to_none() -> None:
    assert augment(torch.zeros(0, 3, 12, 9, dtype=torch.uint8)).shape == (0, 3, 12, 9)
