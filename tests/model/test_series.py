"""Series from a table to answers: every form of a column, what is fitted, one run end to end."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray
from tailfuse.data.dataset import load_dataset
from tailfuse.data.split_arrays import Dataset
from tailfuse.errors import TableError
from tailfuse.modalities.series.fit import measure_moments
from tailfuse.spec.schema import load_spec
from tailfuse_service.modalities import SeriesModality

TRACES = [np.array([[i, 10.0 - i], [i + 1.0, 4.0], [2.0 * i, i]])[: 1 + i % 3] for i in range(12)]


def load(folder: Path, modality: str, table: str = "table.parquet", **columns: Any) -> Dataset:
    """A table of 12 rows with these columns, loaded with one modality."""
    frame = pl.DataFrame(
        {"label": ["a", "b"] * 6, "split": ["train"] * 8 + ["val"] * 2 + ["test"] * 2, **columns}
    )
    path = folder / table
    if path.suffix == ".csv":
        frame.write_csv(path)
    else:
        frame.write_parquet(path)
    (folder / "spec.yaml").write_text(
        f"name: x\ntable: {table}\nlabel: label\nsplit: split\nmodalities:\n  trace: {modality}\n"
    )
    return load_dataset(load_spec(folder / "spec.yaml"))


WHOLE = "{kind: series, column: trace}"
NESTED = pl.List(pl.List(pl.Float64))


def files(folder: Path, suffix: str) -> list[str]:
    """The traces as files, and their paths."""
    for i, trace in enumerate(TRACES):
        if suffix == ".npy":
            np.save(folder / f"{i}.npy", trace)
        else:
            np.savetxt(folder / f"{i}.csv", trace, delimiter=",", header="x,y", comments="")
    return [f"{i}{suffix}" for i in range(len(TRACES))]


def encode_bytes(trace: NDArray[Any]) -> bytes:
    file = io.BytesIO()
    np.save(file, trace)
    return file.getvalue()


def test_every_form_of_a_column_gives_the_same_arrays(tmp_path: Path) -> None:
    lists = [trace.tolist() for trace in TRACES]
    forms: dict[str, tuple[str, str, dict[str, Any]]] = {
        "lists": (WHOLE, "table.parquet", {"trace": pl.Series(lists, dtype=NESTED)}),
        "lists of fixed width": (
            WHOLE, "table.parquet", {"trace": pl.Series(lists, dtype=pl.List(pl.Array(pl.Float32, 2)))},
        ),
        "lists as text": (WHOLE, "table.csv", {"trace": [str(each) for each in lists]}),
        "npy": (WHOLE, "table.csv", {"trace": files(tmp_path, ".npy")}),
        "csv": (WHOLE, "table.parquet", {"trace": files(tmp_path, ".csv")}),
        "bytes": (WHOLE, "table.parquet", {"trace": [encode_bytes(each) for each in TRACES]}),
        "columns": (
            "{kind: series, columns: [x, y]}", "table.parquet",
            {"x": [each[:, 0].tolist() for each in TRACES], "y": [each[:, 1].tolist() for each in TRACES]},
        ),
    }  # fmt: skip
    expected = load(tmp_path, *forms["lists"][:2], **forms["lists"][2])
    assert expected.train.inputs["trace"].shape == (12, 3, 3)
    steps = np.concatenate(TRACES[:8])
    fitted = expected.modalities["trace"]
    assert isinstance(fitted, SeriesModality)
    np.testing.assert_allclose([channel.mean for channel in fitted.channels], steps.mean(0))
    np.testing.assert_allclose([channel.scale for channel in fitted.channels], steps.std(0))
    for form, (modality, table, columns) in forms.items():
        loaded = load(tmp_path, modality, table, **columns)
        np.testing.assert_allclose(
            loaded.train.inputs["trace"], expected.train.inputs["trace"], atol=1e-6, err_msg=form
        )


def test_missing_series_and_channels_and_steps_are_missing(tmp_path: Path) -> None:
    trace = [None, [], [None, 3.0], *([[1.0, 2.0]] * 9)]
    loaded = load(tmp_path, WHOLE, trace=trace)
    assert len(loaded.train) == 6  # two rows have nothing at all
    assert loaded.train.inputs["trace"][0].tolist()[0] == [0, 1]
    x, y = [[1.0, 2.0], None, *([[3.0, 4.0]] * 10)], [None, None, [5.0, 6.0], *([[7.0, 9.0]] * 9)]
    loaded = load(tmp_path, "{kind: series, columns: [x, y]}", x=x, y=y)
    assert len(loaded.train) == 7
    assert (loaded.train.inputs["trace"][0, :, 1] == 0).all()


def test_a_column_of_one_channel_needs_no_inner_lists(tmp_path: Path) -> None:
    loaded = load(
        tmp_path, "{kind: series, columns: trace, length: 4}", trace=[list(range(i + 1)) for i in range(12)]
    )
    assert loaded.train.inputs["trace"].shape == (12, 4, 2)
    fitted = loaded.modalities["trace"]
    assert isinstance(fitted, SeriesModality)
    assert fitted.length == 4


@pytest.mark.parametrize(
    ("trace", "said"),
    [
        ([1.5] * 12,
         "modality 'trace', column 'trace': holds float64; lists of numbers are taken, and paths "
         "or the bytes of .npy, .wav or .csv files"),
        ([["a"]] * 12, "modality 'trace', column 'trace': holds list; lists of numbers are taken"),
        ([None] * 12, "modality 'trace', column 'trace': missing in every training row"),
        ([[]] * 12, "modality 'trace', column 'trace': missing in every training row"),
        (["gone.npy"] * 12,
             "modality 'trace': 8 of 8 files cannot be read: row 1, column 'trace' (gone.npy): no such file"),
        ([[[1, 2]]] * 11 + [[[1], [2]]],
         "row 12, column 'trace': modality 'trace': 1 channel, 2 expected; a series is (time, channels)"),
        ([[[1, 2]]] * 11 + [[[1], [2, 3]]],
         "row 12, column 'trace': modality 'trace', step 2: expected 1 channel as in the first, not 2"),
        (["[1, 2]"] * 8 + ["[1, oops]"] * 4,
         "row 9, column 'trace' ([1, oops]): modality 'trace': the text is not JSON: Expecting value"),
        ([[float("inf")]] * 12,
         "row 1, column 'trace': modality 'trace': a number is infinite or too large"),
        ([[1e300, -1e300]] * 12, "modality 'trace', column 'trace': the numbers are too large to scale"),
    ],
)  # fmt: skip
def test_a_column_that_holds_no_series_is_named(tmp_path: Path, trace: list[Any], said: str) -> None:
    with pytest.raises(TableError) as caught:
        load(tmp_path, WHOLE, trace=trace)
    assert str(caught.value).startswith(said)


def test_of_several_columns_each_is_a_channel(tmp_path: Path) -> None:
    with pytest.raises(TableError) as caught:
        load(tmp_path, "{kind: series, columns: [x, y]}", x=[[1]] * 12, y=[[[1]]] * 12)
    assert str(caught.value).startswith(
        "modality 'trace', column 'y': holds list; of several columns each is"
    )
    with pytest.raises(TableError) as caught:
        load(tmp_path, "{kind: series, columns: [x, y]}", x=[[1, 2]] * 12, y=[[1, 2]] * 11 + [[1]])
    assert str(caught.value) == "row 12: modality 'trace', column 'y': expected 2 steps as in 'x', not 1"


def test_a_series_that_seems_turned_is_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    load(tmp_path, WHOLE, trace=[[[1, 2, 3, 4], [5, 6, 7, 8]]] * 12)
    assert "its first series has 2 steps and 4 channels; a series is (time, channels)" in caplog.text


def test_moments_keep_their_digits_far_from_zero_and_skip_what_is_missing() -> None:
    random = np.random.default_rng(0)
    every = [random.normal([1.6e9, 0.1, 5], [1, 0, 2], (n, 3)) for n in (5, 1, 40)]
    every[2][3:9, 2] = np.nan
    mean, scale = measure_moments(every)
    together = np.concatenate(every)
    np.testing.assert_allclose(mean, np.nanmean(together, axis=0), rtol=1e-12)
    np.testing.assert_allclose(scale[[0, 2]], np.nanstd(together, axis=0)[[0, 2]], rtol=1e-6)
    assert scale[1] == 1.0  # a constant
