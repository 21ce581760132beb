"""Tensors of every kind of modality become what POST /predict takes."""

from typing import Any, ClassVar

import numpy as np
import pytest
from tailfuse_service.bundle import InvalidInput
from tailfuse_service.errors import UnknownColumn
from tailfuse_service.modalities import SeriesModality, TabularModality
from tailfuse_service.modalities.limits import DEFAULT_LIMITS
from tailfuse_service.modalities.series import Channel
from tailfuse_service.modalities.tabular import NumberColumn
from tailfuse_service.modalities.tensor import Tensor
from tailfuse_service.oip.inputs import make_rows

NAN = float("nan")


class Model:
    """What make_rows asks of a manifest."""

    modalities: ClassVar[dict[str, Any]] = {
        "gait": SeriesModality(columns=("x", "y"), channels=(Channel(mean=0, scale=1),) * 2, length=9),
        "rna": TabularModality(
            columns=(NumberColumn(name="a", mean=0, scale=1), NumberColumn(name="b", mean=0, scale=1)),
            width=2,
        ),
    }


def rows(*tensors: Tensor) -> Any:
    return make_rows(tensors, Model(), DEFAULT_LIMITS, max_rows=9)  # type: ignore[arg-type]


def floats(name: str, values: Any) -> Tensor:
    array = np.array(values, np.float32)
    return Tensor(name, "FP32", array.shape, array)


def test_nan_at_the_end_pads_a_series_and_nan_within_it_is_missing() -> None:
    steps: list[Any] = [[[1, 2], [NAN, NAN], [3, NAN], [NAN, NAN]], [[NAN, NAN]] * 4]
    first, second = rows(floats("gait", steps))
    np.testing.assert_array_equal(first["gait"], steps[0][:3])
    assert second == {"gait": None}


def test_a_series_may_be_json_or_a_file() -> None:
    given = [b"[[1, 2], [null, 3]]", b"x,y\n1,2\n", b""]
    found = rows(Tensor("gait", "BYTES", (3,), given))
    assert [each["gait"] for each in found] == [[[1, 2], [None, 3]], b"x,y\n1,2\n", None]
    with pytest.raises(InvalidInput, match="row 0: modality 'gait'"):
        rows(Tensor("gait", "BYTES", (1,), [b"[[1, 2"]))


def test_a_series_of_another_shape_is_refused() -> None:
    for shape in ((1, 4), (1, 4, 3), (1, 4, 2, 1)):
        with pytest.raises(InvalidInput, match=r"FP32 \[rows, time, 2\] expected"):
            rows(floats("gait", np.zeros(shape)))
    with pytest.raises(UnknownColumn, match="of kind series is one tensor"):
        rows(floats("gait.x", np.zeros((1,))))


def test_numbers_are_one_tensor_and_nan_is_missing() -> None:
    assert rows(floats("rna", [[1, NAN], [NAN, NAN]])) == [{"rna": [1.0, None]}, {"rna": [None, None]}]
    assert rows(floats("rna.b", [[1], [NAN]])) == [{"rna": {"b": 1.0}}, {"rna": None}]
