"""Which image formats a model accepts, and what is said of those that it does not."""

import io
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError
from tailfuse_service.errors import UndecodableImage
from tailfuse_service.modalities import ImageModality
from tailfuse_service.modalities.image.formats import FORMATS, LEGACY_FORMATS, PILLOW_FORMATS, identify_format
from tailfuse_service.modalities.limits import DEFAULT_LIMITS, Limits
from tailfuse_service.settings import Settings

RED = Image.new("RGB", (30, 40), (200, 0, 0))
SIZE: dict[str, Any] = {"column": "image", "height": 8, "width": 6, "channels": 3}


def encode(name: str, image: Image.Image = RED) -> bytes:
    file = io.BytesIO()
    image.save(file, name)
    return file.getvalue()


def accepts(modality: ImageModality, name: str, limits: Limits = DEFAULT_LIMITS) -> bool:
    try:
        return modality.features("image", limits).apply(encode(name)) is not None
    except UndecodableImage:
        return False


@pytest.mark.parametrize("name", sorted(PILLOW_FORMATS))
def test_a_format_is_accepted_by_default_by_its_bundle_or_by_the_setting(name: str) -> None:
    default = ImageModality(**SIZE, formats=())
    assert accepts(default, name) == (name in ("JPEG", "PNG", "WEBP"))
    assert accepts(ImageModality(**SIZE, formats=(name,)), name)
    assert accepts(default, name, Limits(image_formats=frozenset({name})))


@pytest.mark.parametrize("name", sorted(PILLOW_FORMATS))
def test_a_bundle_without_a_list_accepts_all_but_decoders_that_hold_the_lock(name: str) -> None:
    assert accepts(ImageModality(**SIZE), name) == (name != "JPEG2000")
    assert (name in LEGACY_FORMATS) == (name != "JPEG2000")


@pytest.mark.parametrize("name", sorted(PILLOW_FORMATS - {"TGA"}))
def test_a_format_is_known_by_its_first_bytes(name: str) -> None:
    assert identify_format(encode(name)) == name


def test_a_refusal_names_the_format_and_the_setting() -> None:
    with pytest.raises(UndecodableImage) as refused:
        ImageModality(**SIZE, formats=("BMP",)).features("image").apply(encode("JPEG2000"))
    assert refused.value.detail == (
        "modality 'image': the image is JPEG2000; this model accepts BMP, JPEG, PNG, WEBP "
        "(the setting --image-formats adds JPEG2000)"
    )


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"%PDF-1.7\n", "PDF"),
        (b"  <!DOCTYPE html><html>404</html>", "HTML"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "SVG"),
        (b"8BPS\0\1", "Photoshop"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL"),
        (b"\x1f\x8b\x08\0", "gzip"),
    ],
)
def test_a_file_that_is_no_image_is_named(data: bytes, name: str) -> None:
    with pytest.raises(UndecodableImage, match=f"a file of format {name}, which is not read"):
        ImageModality(**SIZE).features("image").apply(data)


def test_the_setting_is_checked_and_reaches_the_decoder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(bundle=tmp_path, image_formats="tiff, Bmp,")
    assert settings.limits.image_formats == {"TIFF", "BMP"}
    assert Settings(bundle=tmp_path).limits.image_formats == frozenset()
    with pytest.raises(ValidationError, match=r"'JPG' is not one of AVIF, BMP, DICOM"):
        Settings(bundle=tmp_path, image_formats="JPG")
    monkeypatch.setitem(sys.modules, "pydicom", None)
    monkeypatch.setattr("tailfuse_service.settings.settings.find_spec", lambda module: None)
    with pytest.raises(ValidationError, match=r"pydicom is not installed: pip install '.\[formats\]'"):
        Settings(bundle=tmp_path, image_formats="DICOM")


HEIF = pytest.importorskip("pillow_heif")
ALL = Limits(image_formats=FORMATS)


def heic(image: Image.Image, **options: Any) -> bytes:
    file = io.BytesIO()
    HEIF.from_pillow(image).save(file, **options)
    return file.getvalue()


def test_heic_is_named_and_read() -> None:
    data = heic(RED)
    assert identify_format(data) == "HEIC"
    with pytest.raises(UndecodableImage, match="the image is HEIC; this model accepts"):
        ImageModality(**SIZE).features("image").apply(data)
    pixels = ImageModality(**SIZE, formats=("HEIC",)).features("image").apply(data)
    assert pixels is not None
    np.testing.assert_allclose(pixels[:, 4, 3], [200, 0, 0], atol=8)


def test_without_its_package_a_format_is_named_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    data = heic(RED)
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(UndecodableImage, match=r"HEIC, which needs pillow-heif: pip install '.\[formats\]'"):
        ImageModality(**SIZE).features("image", ALL).apply(data)
    monkeypatch.setitem(sys.modules, "pydicom", None)
    with pytest.raises(UndecodableImage, match=r"DICOM, which needs pydicom: pip install '.\[formats\]'"):
        ImageModality(**SIZE).features("image", ALL).apply(bytes(128) + b"DICM")
