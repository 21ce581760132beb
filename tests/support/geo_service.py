"""A fifth kind, the service's side: a place on the globe, sent as its latitude and longitude in degrees."""

from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from tailfuse_service.errors import InvalidInput
from tailfuse_service.modalities import Modality, Summary
from tailfuse_service.modalities.limits import DEFAULT_LIMITS, Limits
from tailfuse_service.modalities.modality import SummaryValues
from tailfuse_service.modalities.tensor import Tensor, TensorForm, make_shape_error, to_python

LIMITS = {"lat": 90.0, "lon": 180.0}


class GeoFeatures:
    """A place as float32 of shape (3,): the unit vector from the centre of the globe."""

    def __init__(self, name: str) -> None:
        self.name = name

    def apply(self, raw: Any) -> NDArray[np.float32] | None:
        if not isinstance(raw, dict) or raw.keys() != LIMITS.keys():
            raise InvalidInput(
                f"modality '{self.name}': expected an object with lat and lon",
                modality=self.name, expected="lat and lon",
            )  # fmt: skip
        if raw["lat"] is None or raw["lon"] is None:
            return None
        for key, limit in LIMITS.items():
            if not isinstance(raw[key], int | float) or not abs(raw[key]) <= limit:
                raise InvalidInput(
                    f"modality '{self.name}', '{key}': expected degrees within ±{limit:g}, not {raw[key]}",
                    modality=self.name, expected=f"degrees within ±{limit:g}", received=raw[key],
                )  # fmt: skip
        lat, lon = np.radians([raw["lat"], raw["lon"]])
        return np.array([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], np.float32)

    def stack(self, rows: list[NDArray[np.float32]]) -> NDArray[np.float32]:
        return np.array(rows, np.float32).reshape(len(rows), 3)


class GeoModality(Modality):
    """float32 rows of (3,): unit vectors."""

    part: ClassVar[Literal["JSON"]] = "JSON"
    part_description: ClassVar[str] = 'JSON: {"lat": degrees, "lon": degrees}.'
    media_type: ClassVar[str] = "application/geo+json"

    kind: Literal["geo"] = "geo"
    latitude: str
    longitude: str

    @property
    def column_names(self) -> tuple[str, ...]:
        return self.latitude, self.longitude

    def features(self, name: str, limits: Limits = DEFAULT_LIMITS) -> GeoFeatures:
        return GeoFeatures(name)

    def input_schema(self) -> dict[str, Any]:
        degrees = {
            key: {"type": ["number", "null"], "minimum": -limit, "maximum": limit}
            for key, limit in LIMITS.items()
        }
        return {
            "description": "A place, in degrees.", "type": ["object", "null"], "properties": degrees,
            "required": list(degrees), "additionalProperties": False,
        }  # fmt: skip

    def example(self) -> dict[str, float]:
        return {"lat": 52.5, "lon": 13.4}

    def tensor_form(self) -> TensorForm:
        return TensorForm("FP64", (2,), ("lat", "lon"))

    def read_tensor(self, tensor: Tensor, limits: Limits = DEFAULT_LIMITS) -> list[Any]:
        if not isinstance(tensor.values, np.ndarray) or tensor.shape[1:] != (2,):
            raise make_shape_error(tensor, tensor.name, "FP64 [rows, 2]")
        return [{"lat": lat, "lon": lon} for lat, lon in to_python(tensor.values)]

    def summary(self) -> Summary:
        def compute(rows: NDArray[Any]) -> SummaryValues:
            latitude: SummaryValues = np.degrees(np.arcsin(rows[:, 2:].clip(-1, 1)))
            return latitude

        return Summary(["latitude"], compute)
