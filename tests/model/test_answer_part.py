"""How many rows of a table are read at once: as many as memory is for."""

import pytest
from tailfuse.evaluation.answer_part import MAX_PIECE_ROWS, MAX_RAGGED_ROWS, PIECE_BYTES, count_piece_rows
from tailfuse_service.modalities import ImageModality, Modality, TabularModality, TextModality
from tailfuse_service.modalities.tabular import NumberColumn


def make_columns(count: int) -> TabularModality:
    """Make a modality of numbers."""
    columns = tuple(NumberColumn(name=f"n{at}", mean=0.0, scale=1.0, indicator=False) for at in range(count))
    return TabularModality(columns=columns, width=count)


def make_image(side: int) -> ImageModality:
    return ImageModality(column="image", height=side, width=side, channels=3)


def make_text() -> TextModality:
    return TextModality(columns=("note",), buckets=64, ngrams=1, max_tokens=512)


@pytest.mark.parametrize(
    ("modalities", "rows"),
    [
        ([make_columns(8)], MAX_PIECE_ROWS),
        ([make_columns(100_000)], PIECE_BYTES // 400_000),
        ([make_image(224)], PIECE_BYTES // (3 * 224 * 224)),
        ([make_columns(1024), make_image(224)], PIECE_BYTES // (3 * 224 * 224 + 4096)),
        ([make_image(8)], MAX_PIECE_ROWS),
        ([make_columns(8), make_text()], MAX_RAGGED_ROWS),
    ],
)
def test_a_piece_has_as_many_rows_as_its_arrays_have_room(modalities: list[Modality], rows: int) -> None:
    assert count_piece_rows({str(at): each for at, each in enumerate(modalities)}) == rows


def test_a_row_larger_than_a_piece_is_read_alone() -> None:
    assert count_piece_rows({str(at): make_image(4096) for at in range(8)}) == 1
