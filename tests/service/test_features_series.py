"""A series becomes its time steps, however it is sent, and a mask that tells them from padding."""

import base64
import io
import json
import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from tailfuse_service.errors import InvalidInput, NotFinite, UnknownColumn
from tailfuse_service.modalities import SeriesModality
from tailfuse_service.modalities.series import Channel
from tailfuse_service.modalities.series.features import SeriesFeatures, shorten

from tests.support.wav import write_layout, write_riff, write_wav

PLAIN = Channel(mean=0.0, scale=1.0)
TRACE = SeriesModality(columns=("trace",), channels=(PLAIN, Channel(mean=10.0, scale=2.0)), length=6)
SOUND = SeriesModality(columns=("sound",), channels=(PLAIN,), length=100)
MOTION = SeriesModality(columns=("x", "y"), channels=(PLAIN, PLAIN), length=8)
TWO, ONE, AXES = TRACE.features("trace"), SOUND.features("sound"), MOTION.features("motion")

STEPS = [[1.0, 10.0], [2.0, 12.0], [-3.0, 6.0]]
ARRAY = [[1, 0, 1], [2, 1, 1], [-3, -2, 1]]  # of STEPS, standardised, with the mask


def npy(array: Any, **options: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, array, **options)
    return file.getvalue()


def applied(features: SeriesFeatures, raw: Any) -> NDArray[np.float32]:
    array = features.apply(raw)
    assert array is not None
    assert array.dtype == np.float32
    return array


FORMS: dict[str, Any] = {
    "lists": STEPS,
    "whole numbers among them": [[1, 10], [2.0, 12], [-3, 6]],
    "an array": np.array(STEPS),
    "npy": npy(STEPS),
    "npy of halves": npy(np.array(STEPS, np.float16)),
    "npy of big-endian whole numbers": npy(np.array(STEPS, ">i4")),
    "npy in the order of columns": npy(np.asfortranarray(STEPS)),
    "csv": b"1,10\n2,12\n-3,6\n",
    "csv with a header and blanks, of Windows": b"\xef\xbb\xbfleft,right\r\n1, 10\r\n\r\n2,12\r\n-3,6",
    "json in a file": json.dumps(STEPS).encode(),
    "base64": base64.b64encode(npy(STEPS)).decode(),
    "a data URL": "data:text/csv;base64," + base64.b64encode(b"1,10\n2,12\n-3,6").decode(),
}


@pytest.mark.parametrize("raw", FORMS.values(), ids=FORMS)
def test_every_form_of_a_series_gives_the_same_array(raw: Any) -> None:
    assert applied(TWO, raw).tolist() == ARRAY


@pytest.mark.parametrize(
    "raw", [[1, 2, 3], [[1], [2], [3]], npy([1, 2, 3]), b"1\n2\n3", b"[1, 2, 3]"], ids=str
)
def test_one_channel_needs_no_inner_lists(raw: Any) -> None:
    assert applied(ONE, raw).tolist() == [[1, 1], [2, 1], [3, 1]]


@pytest.mark.parametrize("text", ["<NA>", "#N/A", "None", "NaN", "NULL"])
def test_a_first_value_that_is_missing_is_no_header(text: str) -> None:
    assert applied(ONE, f"{text}\n1\n2\n".encode()).tolist() == [[0, 1], [1, 1], [2, 1]]


def test_channels_may_come_by_their_columns() -> None:
    by_column = {"y": [4, 5, 6], "x": [1, 2, 3]}
    assert applied(AXES, by_column).tolist() == [[1, 4, 1], [2, 5, 1], [3, 6, 1]]
    assert applied(AXES, [[1, 4], [2, 5], [3, 6]]).tolist() == applied(AXES, by_column).tolist()
    assert applied(AXES, json.dumps(by_column).encode()).tolist() == applied(AXES, by_column).tolist()


@pytest.mark.parametrize(
    "raw",
    [
        [[1, None], [None, 12], [-3, 6]],
        [[1, float("nan")], [float("nan"), 12], [-3, 6]],
        npy([[1, np.nan], [np.nan, 12], [-3, 6]]),
        b"1,\n,12\n-3,6",
        b"1,NaN\nNA,12\n-3,6",
        b"1,<NA>\n#N/A,12\n-3,6",
        b"[[1, null], [NaN, 12], [-3, 6]]",
    ],
    ids=str,
)
def test_a_missing_value_is_the_mean_and_its_step_still_counts(raw: Any) -> None:
    assert applied(TWO, raw).tolist() == [[1, 0, 1], [0, 1, 1], [-3, -2, 1]]


@pytest.mark.parametrize("raw", [{"y": [4, 5]}, {"x": None, "y": [4, 5]}], ids=str)
def test_a_channel_left_out_is_missing(raw: Any) -> None:
    assert applied(AXES, raw).tolist() == [[0, 4, 1], [0, 5, 1]]


@pytest.mark.parametrize(
    "raw",
    [
        [],
        "",
        b"",
        b" \n",
        [None, None],
        [[None, None]],
        npy(np.zeros((0, 2))),
        npy([np.nan]),
        b"[]",
        [[], []],
    ],
    ids=str,
)
def test_a_series_without_a_value_is_absent(raw: Any) -> None:
    assert TWO.apply(raw) is None


@pytest.mark.parametrize("raw", [{}, {"x": None}, {"x": [], "y": []}], ids=str)
def test_columns_without_a_value_are_absent(raw: Any) -> None:
    assert AXES.apply(raw) is None


SAMPLES = np.array([[0.0, 0.5], [-1.0, 0.25], [0.75, -0.5]])


@pytest.mark.parametrize("n_bytes", [1, 2, 3, 4])
@pytest.mark.parametrize("channels", [1, 2])
def test_pcm_of_every_width_is_read(n_bytes: int, channels: int) -> None:
    features = SeriesModality(columns=("sound",), channels=(PLAIN,) * channels, length=9).features("sound")
    array = applied(features, write_wav(SAMPLES[:, :channels], n_bytes))
    np.testing.assert_array_equal(array[:, :-1], SAMPLES[:, :channels])


EXTENDED = struct.pack("<HHI", 22, 16, 3) + struct.pack("<H", 1) + bytes(14)
WAVS = {
    "floats": write_riff(write_layout(3, 1, 32), SAMPLES[:, :1].astype("<f4").tobytes()),
    "doubles": write_riff(write_layout(3, 1, 64), SAMPLES[:, :1].astype("<f8").tobytes()),
    "an extended header": write_riff(
        write_layout(0xFFFE, 1, 16, EXTENDED), (SAMPLES[:, :1] * 2**15).astype("<i2").tobytes()
    ),
    "cut short in a sample": write_wav(SAMPLES[:, :1], 2) + b"\0",
}


@pytest.mark.parametrize("raw", WAVS.values(), ids=WAVS)
def test_other_wavs_that_programs_write_are_read(raw: bytes) -> None:
    np.testing.assert_array_equal(applied(ONE, raw)[:, 0], SAMPLES[:, 0])


def test_a_long_series_is_averaged_down_and_nothing_is_left_out() -> None:
    array = applied(ONE, list(range(1000)))
    assert array.shape == (100, 2)
    np.testing.assert_allclose(array[:, 0], np.arange(1000).reshape(100, 10).mean(1))
    assert applied(ONE, list(range(101)))[:3, 0].tolist() == [0, 1, 2]  # the last two became one
    assert applied(ONE, list(range(101)))[-1, 0] == 99.5


def test_averaging_leaves_out_what_is_missing() -> None:
    steps = np.array([[1, np.nan], [np.nan, np.nan], [5, 6], [7, np.nan]])
    np.testing.assert_array_equal(shorten(steps, 2), [[1, np.nan], [6, 6]])


def test_stacking_pads_with_zeros_that_the_mask_tells_from_steps() -> None:
    stacked = TWO.stack([applied(TWO, STEPS), applied(TWO, STEPS[:1])])
    assert stacked.shape == (2, 3, 3)
    assert stacked[1].tolist() == [ARRAY[0], [0, 0, 0], [0, 0, 0]]
    assert TWO.stack([]).shape == (0, 1, 3)


PROMISE = (
    b"\x93NUMPY\x01\x00v\x00"
    + b"{'descr': '<f8', 'fortran_order': False, 'shape': (9000000000,), }".ljust(118)
)
WRONG: dict[str, tuple[SeriesFeatures, Any, str]] = {
    "a number": (TWO, 3, "expected a list of time steps, not a number"),
    "an object": (TWO, {"x": [1]}, "expected a list of time steps, not an object"),
    "other channels": (
        TWO, [[1], [2]],
        "1 channel, 2 expected; a series is (time, channels)",
    ),
    "channels that change": (
        TWO, [[1, 2], [3]], ", step 2: expected 2 channels as in the first, not 1",
    ),
    "numbers among lists": (
        TWO, [[1, 2], 3], ", step 2: expected a list of channels like the others, not a number",
    ),
    "lists among numbers": (ONE, [1, [2]], "expected numbers or null, not an array"),
    "a string": (ONE, [1, "2"], "expected numbers or null, not \"2\""),
    "a boolean": (ONE, [1, True], "expected numbers or null, not true"),
    "three dimensions": (
        ONE, npy(np.zeros((2, 2, 2))),
        "expected the shape (time,) or (time, channels), not (2, 2, 2)",
    ),
    "no dimension": (
        ONE, npy(np.array(3)), "expected the shape (time,) or (time, channels), not ()",
    ),
    "not base64": (
        ONE, "what?",
        "expected a .npy, .wav, .csv or JSON file in base64, not a string of other characters",
    ),
    "another file": (ONE, b"\x89PNG\r\n", "the bytes are not a .npy, .wav, .csv or JSON file"),
    "words": (
        ONE, b"hello",
        "the bytes are not a .npy, .wav, .csv or JSON file: no line has numbers with commas",
    ),
    "half a JSON": (ONE, b"[1, 2", "the text is not JSON: Expecting ',' delimiter: line 1"),
    "a deep JSON": (ONE, b"[" * 100_000, "the text is not JSON: "),
    "other separators": (
        ONE, b"a;b\n1;2\n", "line 2: expected numbers with commas, not '1;2'",
    ),
    "a short line": (TWO, b"1,2\n3\n", "line 2: 1 values, 2 expected"),
    "a pickle in an npy": (
        ONE, npy(np.array([{}]), allow_pickle=True), "the .npy file holds object; numbers are taken",
    ),
    "complex numbers": (ONE, npy([1j]), "the .npy file holds complex128; numbers are taken"),
    "an npy cut short": (
        ONE, npy([1.0, 2.0])[:-1], "the .npy file is not as long as its header says",
    ),
    "an npy that promises the world": (
        ONE, npy([1.0]).replace(b"(1,)", b"(9**9,)"), "the .npy file has a header that cannot be",
    ),
    "an npy of a huge shape": (ONE, PROMISE, "the .npy file is not as long as its header says"),
    "an npy whose shape is a boolean": (
        ONE, npy(np.zeros(1)).replace(b"(1,), }   ", b"(True,), }"),
        "the .npy file has a header that cannot be read",
    ),
    "a broken npy": (ONE, b"\x93NUMPY\x01", "the .npy file has a header that cannot be read"),
    "a broken wav": (ONE, b"RIFF\0\0\0\0WAVE", "the .wav file has a header that cannot be read"),
    "a wav of another encoding": (
        ONE, write_riff(write_layout(7, 1, 8), b"\0"), "the .wav file has encoding 7 with 8 bits; PCM of 8,",
    ),
    "a column as a number": (AXES, {"x": 1}, ", column 'x': expected a list of numbers, not a number"),
    "columns of other lengths": (
        AXES, {"x": [1, 2], "y": [3]}, ", column 'y': expected 2 steps as in 'x', not 1",
    ),
    "a string in a column": (
        AXES, {"x": ["a"]}, ", column 'x': expected numbers or null, not \"a\"",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("features", "raw", "said"), WRONG.values(), ids=WRONG)
def test_what_is_no_series_is_named(features: SeriesFeatures, raw: Any, said: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        features.apply(raw)
    assert caught.value.detail.startswith(f"modality '{features.name}'{'' if said[0] == ',' else ': '}{said}")
    assert caught.value.members["modality"] == features.name


@pytest.mark.parametrize(
    "raw",
    [[float("inf")], [1, -float("inf")], [1e40], [10**400], npy([np.inf]), b"inf\n1"],
    ids=lambda raw: str(raw)[:9],
)
def test_infinite_numbers_are_named(raw: Any) -> None:
    with pytest.raises(NotFinite, match="modality 'sound': a number is infinite or too large"):
        ONE.apply(raw)


def test_an_unknown_column_is_named() -> None:
    with pytest.raises(UnknownColumn, match="modality 'motion' has no column 'z'"):
        AXES.apply({"z": [1]})


@pytest.mark.parametrize("modality", [SOUND, TRACE, MOTION], ids=["one", "two", "by column"])
def test_the_example_is_one(modality: SeriesModality) -> None:
    assert modality.features("m").apply(modality.example()) is not None


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.binary(max_size=40),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from("xyz"), inner, max_size=3),
)


@given(
    values
    | st.binary().map(lambda tail: b"\x93NUMPY\x01\0" + tail)
    | st.binary().map(lambda tail: b"RIFF" + tail)
)
def test_anything_is_an_array_or_absent_or_refused(raw: Any) -> None:
    for features in (ONE, TWO, AXES):
        try:
            array = features.apply(raw)
        except InvalidInput:
            continue
        assert array is None or (np.isfinite(array).all() and (array[:, -1] == 1).all())
