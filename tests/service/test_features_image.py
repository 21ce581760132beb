"""Pictures of every make become the same small array, or one clear error."""

import base64
import io
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from tailfuse_service.errors import InvalidInput, UndecodableImage
from tailfuse_service.modalities import ImageModality
from tailfuse_service.modalities.image.features import ImageFeatures
from tailfuse_service.modalities.image.formats import PILLOW_FORMATS
from tailfuse_service.modalities.limits import Limits

ALL = Limits(image_formats=PILLOW_FORMATS)
COLOUR = ImageModality(column="image", height=8, width=6, channels=3).features("image", ALL)
GREY = ImageModality(column="image", height=8, width=6, channels=1).features("image", ALL)
RED = Image.new("RGB", (30, 40), (200, 0, 0))


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


@pytest.mark.parametrize("kind", sorted(PILLOW_FORMATS))
def test_every_format_is_read(kind: str) -> None:
    pixels = COLOUR.apply(encoded(RED, kind))
    assert pixels is not None
    assert pixels.shape == (3, 8, 6)
    assert pixels.dtype == np.uint8
    np.testing.assert_allclose(pixels[:, 4, 3], [200, 0, 0], atol=6)


def test_base64_and_data_urls_are_the_bytes() -> None:
    data = encoded(RED)
    text = base64.b64encode(data).decode()
    expected = COLOUR.apply(data)
    np.testing.assert_array_equal(COLOUR.apply(text), expected)
    np.testing.assert_array_equal(COLOUR.apply(f"data:image/png;base64,{text}"), expected)


@pytest.mark.parametrize("empty", [b"", "", "data:image/png;base64,"])
def test_no_bytes_are_no_picture(empty: Any) -> None:
    assert COLOUR.apply(empty) is None


def test_cmyk_is_read_as_colour() -> None:
    cyan = Image.new("CMYK", (30, 40), (255, 0, 0, 0))
    pixels = COLOUR.apply(encoded(cyan, "JPEG"))
    assert pixels is not None
    assert pixels[0].max() < 80
    assert pixels[1:].min() > 150


def test_sixteen_bit_greys_keep_their_range() -> None:
    ramp = np.repeat(np.linspace(0, 65535, 40).astype(np.uint16)[:, None], 30, axis=1)
    pixels = GREY.apply(encoded(Image.fromarray(ramp)))
    assert pixels is not None
    assert pixels[0, 0, 0] < 40
    assert pixels[0, -1, 0] > 215


def test_of_an_animation_the_first_frame_counts() -> None:
    blue = Image.new("RGB", RED.size, (0, 0, 200))
    pixels = COLOUR.apply(encoded(RED, "GIF", save_all=True, append_images=[blue]))
    np.testing.assert_array_equal(pixels, COLOUR.apply(encoded(RED, "GIF")))


def test_transparency_is_laid_on_white() -> None:
    pixels = COLOUR.apply(encoded(Image.new("RGBA", (30, 40), (0, 0, 0, 0))))
    assert pixels is not None
    assert pixels.min() == 255


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_turned_picture_is_set_upright(kind: str, orientation: int) -> None:
    """Where the camera's top left corner is, by the EXIF standard, after setting it upright."""
    corner = {1: "tl", 2: "tr", 3: "br", 4: "bl", 5: "tl", 6: "tr", 7: "br", 8: "bl"}[orientation]
    image = Image.new("L", (64, 64))
    image.paste(255, (0, 0, 32, 32))
    exif = Image.Exif()
    exif[0x0112] = orientation
    pixels = GREY.apply(encoded(image, kind, exif=exif))
    assert pixels is not None
    found = {"tl": pixels[0, 1, 1], "tr": pixels[0, 1, -2], "bl": pixels[0, -2, 1], "br": pixels[0, -2, -2]}
    assert max(found, key=lambda name: found[name]) == corner


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF"])
def test_a_truncated_picture_is_an_error(kind: str) -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8))
    data = encoded(noise, kind)
    for size in (len(data) // 2, 20, 3, 1):
        with pytest.raises(UndecodableImage, match="modality 'image'"):
            COLOUR.apply(data[:size])


def test_a_program_in_disguise_is_no_picture() -> None:
    with pytest.raises(UndecodableImage):
        COLOUR.apply(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nquit\n")


@given(st.binary(max_size=300) | st.sampled_from(["JPEG", "PNG", "GIF", "WEBP"]).flatmap(
    lambda kind: st.tuples(st.just(encoded(RED, kind)), st.integers(0, 200), st.integers(0, 255)).map(
        lambda parts: parts[0][: parts[1]] + bytes([parts[2]]) + parts[0][parts[1] + 1 :]
    )
))  # fmt: skip
def test_any_bytes_give_pixels_or_one_clear_error(data: bytes) -> None:
    try:
        pixels = COLOUR.apply(data)
    except UndecodableImage:
        return
    assert (pixels is None) == (not data)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
)


def applied(features: ImageFeatures, raw: Any) -> Any:
    """What it gives, or the one error that it may raise."""
    try:
        return features.apply(raw)
    except InvalidInput as error:
        return error


@given(json_values)
def test_any_json_value_gives_pixels_or_one_clear_error(raw: Any) -> None:
    pixels = applied(COLOUR, raw)
    if isinstance(pixels, InvalidInput):
        assert pixels.members["modality"] == "image"
    else:
        assert pixels is None or pixels.shape == (3, 8, 6)


def test_stacking_nothing_gives_no_rows() -> None:
    assert COLOUR.stack([]).shape == (0, 3, 8, 6)
