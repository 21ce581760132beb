"""DICOM files: rescaled, in their own window or in the model's range, and never inverted by mistake."""

import io
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tailfuse_service.errors import TooManyPixels, UndecodableImage
from tailfuse_service.modalities import ImageModality
from tailfuse_service.modalities.limits import Limits

pydicom = pytest.importorskip("pydicom")

# Hounsfield units in four rows: air, a lung, water, and bone.
UNITS = np.repeat(np.array([-1000, -600, 0, 400], np.int16)[:, None], 4, axis=1)


def write(values: NDArray[Any] = UNITS, **elements: Any) -> bytes:
    """A CT image of signed integers, stored as (value + 1024) / 2."""
    dataset = pydicom.Dataset()
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = pydicom.uid.CTImageStorage
    dataset.file_meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid(entropy_srcs=["test"])
    stored = ((values.astype(int) + 1024) // 2).astype(np.int16)
    dataset.Rows, dataset.Columns = values.shape[-2:]
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 12, 11, 1
    dataset.RescaleSlope, dataset.RescaleIntercept = 2, -1024
    dataset.PixelData = stored.tobytes()
    for name, value in elements.items():
        setattr(dataset, name, value)
    file = io.BytesIO()
    dataset.save_as(file, enforce_file_format=True)
    return file.getvalue()


def read_rows(data: bytes, **options: Any) -> list[int]:
    """The grey of each of the four rows."""
    size: dict[str, Any] = {"column": "image", "height": 4, "width": 4, "channels": 1, "formats": ("DICOM",)}
    pixels = ImageModality(**size | options).features("image").apply(data)
    assert pixels is not None
    return [int(value) for value in pixels[0, :, 0]]


def test_the_files_own_window_is_applied() -> None:
    window: dict[str, Any] = {"WindowCenter": 40, "WindowWidth": 400}
    assert read_rows(write(**window)) == [0, 0, 102, 255]
    assert read_rows(write(WindowCenter=[-600, 40], WindowWidth=[1500, 400]))[1] == pytest.approx(128, abs=1)
    assert read_rows(write(**window, PhotometricInterpretation="MONOCHROME1")) == [255, 255, 153, 0]


def test_the_models_range_is_in_rescaled_units_and_comes_before_the_window() -> None:
    model: dict[str, Any] = {"range": (-1000, 400), "deep": True}
    assert read_rows(write(), **model) == [0, 73, 182, 255]
    assert read_rows(write(WindowCenter=40, WindowWidth=400), **model) == [0, 73, 182, 255]


def test_without_window_or_range_nothing_is_guessed() -> None:
    with pytest.raises(UndecodableImage, match="its pixels are floats"):
        read_rows(write())


def test_the_first_frame_counts_and_the_header_limits_the_pixels() -> None:
    frames = np.stack([UNITS, np.zeros_like(UNITS)])
    data = write(frames, NumberOfFrames=2, WindowCenter=40, WindowWidth=400)
    assert read_rows(data) == [0, 0, 102, 255]
    modality = ImageModality(column="image", height=4, width=4, channels=1, formats=("DICOM",))
    with pytest.raises(TooManyPixels, match="4 x 4 pixels"):
        modality.features("image", Limits(max_pixels=15)).apply(data)
    with pytest.raises(UndecodableImage, match="not an image that can be read"):
        modality.features("image").apply(data[:200])
