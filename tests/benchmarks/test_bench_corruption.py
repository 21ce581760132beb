"""Modalities that have gone bad, and test rows with other shares of the classes."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tailfuse.data.split_arrays import SplitArrays
from tailfuse_bench.corruption import LEVELS, NOISE_ADDED, corrupt_modalities
from tailfuse_bench.shift import draw_shifted_rows

N = 200


@pytest.fixture(scope="module")
def part() -> SplitArrays:
    """Rows 0..N-1 of a larger table; every fifth has no picture."""
    random = np.random.default_rng(0)
    pictures = random.integers(0, 256, (2 * N, 3, 20, 16)).astype(np.uint8)
    at = np.arange(N)
    inputs: dict[str, NDArray[Any]] = {
        "numbers": random.normal(size=(2 * N, 4)).astype(np.float32),
        "picture": pictures,
    }
    return SplitArrays(inputs, {"numbers": at, "picture": np.where(at % 5, at, -1)}, at % 3)


def damaged(part: SplitArrays, seed: int = 0) -> dict[tuple[str, str, float | None], SplitArrays]:
    return {each[:3]: each.part for each in corrupt_modalities(part, "a set", seed)}


def rows(part: SplitArrays, name: str) -> np.ndarray:
    return part.inputs[name][part.position[name][part.position[name] >= 0]].astype(np.float64)


def test_every_damage_is_done_to_what_it_suits(part: Any) -> None:
    conditions = {"noise_1", "noise_3", "other_row", "blank"}
    found = damaged(part)
    for name, own in (("numbers", set()), ("picture", {"blur", "jpeg"})):
        assert {key[1] for key in found if key[0] == name} == conditions | own | {NOISE_ADDED}
        assert [key[2] for key in found if key[:2] == (name, NOISE_ADDED)] == list(LEVELS)


def test_only_the_one_modality_changes_and_absent_rows_stay_absent(part: Any) -> None:
    for (name, _, _), bad in damaged(part).items():
        other = {"numbers": "picture", "picture": "numbers"}[name]
        np.testing.assert_array_equal(rows(bad, other), rows(part, other))
        np.testing.assert_array_equal(bad.presence(), part.presence())
        np.testing.assert_array_equal(bad.labels, part.labels)
        assert bad.inputs[name].dtype == part.inputs[name].dtype


def test_noise_has_its_scale(part: Any) -> None:
    found = damaged(part)
    for condition, scale in (("noise_1", 1), ("noise_3", 3)):
        noise = rows(found["numbers", condition, None], "numbers")
        assert noise.std() == pytest.approx(scale, rel=0.1)
        assert abs(noise.mean()) < 0.2 * scale
    pixels = rows(found["picture", "noise_1", None], "picture")
    assert pixels.mean() == pytest.approx(127.5, abs=1)
    assert 55 < pixels.std() < 64


def test_added_noise_grows_with_its_level_and_is_nothing_at_0(part: Any) -> None:
    found = damaged(part)
    for name in ("numbers", "picture"):
        np.testing.assert_array_equal(rows(found[name, NOISE_ADDED, 0.0], name), rows(part, name))
    added = [
        rows(found["numbers", NOISE_ADDED, level], "numbers") - rows(part, "numbers") for level in LEVELS
    ]
    assert [each.std() for each in added] == pytest.approx(LEVELS, rel=0.1)


def test_another_row_is_never_the_own_one(part: Any) -> None:
    before, after = rows(part, "numbers"), rows(damaged(part)["numbers", "other_row", None], "numbers")
    assert (before != after).any(axis=1).all()
    np.testing.assert_array_equal(np.sort(before, axis=0), np.sort(after, axis=0))


def test_pictures_go_black_blurred_and_blocky(part: Any) -> None:
    found, before = damaged(part), rows(part, "picture")
    assert not rows(found["picture", "blank", None], "picture").any()
    for condition in ("blur", "jpeg"):
        after = rows(found["picture", condition, None], "picture")
        assert after.shape == before.shape
        assert after.std() < before.std() / 2
        assert after.mean() == pytest.approx(before.mean(), abs=5)


def test_damage_depends_on_the_set_and_the_seed_alone(part: Any) -> None:
    first, again, other = damaged(part), damaged(part), damaged(part, seed=1)
    key = ("numbers", "noise_1", None)
    np.testing.assert_array_equal(first[key].inputs["numbers"], again[key].inputs["numbers"])
    assert (first[key].inputs["numbers"] != other[key].inputs["numbers"]).all()


TRAIN_COUNTS = [5, 100, 20, 1]  # most first: 1, 2, 0, 3


@pytest.mark.parametrize(
    ("condition", "counts"),
    [
        # 100 rows by 1 : 10 ** (1/3) : 10 ** (2/3) : 10, which sum up to 17.80
        ("shift_long", [12, 56, 26, 6]),
        ("shift_uniform", [25, 25, 25, 25]),
        ("shift_inverse", [26, 6, 12, 56]),
    ],
)
def test_shifted_rows_have_their_shares(condition: str, counts: list[int]) -> None:
    labels = np.repeat(np.arange(4), 25)
    rows = draw_shifted_rows(labels, TRAIN_COUNTS, condition, np.random.default_rng(0))
    assert np.bincount(labels[rows]).tolist() == counts
    for code, n in enumerate(counts):  # no row again before every row of its class was there
        times = np.bincount(rows, minlength=100)[labels == code]
        assert {*times} <= {n // 25, n // 25 + 1}


def test_a_class_without_test_rows_stays_without() -> None:
    labels = np.repeat([0, 1, 3], 10)
    rows = draw_shifted_rows(labels, TRAIN_COUNTS, "shift_long", np.random.default_rng(0))
    assert set(labels[rows]) == {0, 1, 3}
