"""How large the values of one request may be. Training uses the defaults."""

from dataclasses import dataclass

from tailfuse_service.errors import TextTooLong

# Pillow refuses an image of more pixels, whatever the limit says.
PILLOW_MAX_PIXELS = 178_956_970


@dataclass(frozen=True)
class Limits:
    """A request beyond one of these is refused; each limit has its own error."""

    max_pixels: int = 50_000_000
    max_text_chars: int = 1_000_000
    max_json_depth: int = 32
    max_json_values: int = 500_000
    max_parts: int = 100
    image_formats: frozenset[str] = frozenset()  # accepted beside those of the bundle
    waits: bool = True  # for memory to decode; on the event loop nothing may wait


DEFAULT_LIMITS = Limits()


def make_text_too_long(where: str, received: int, expected: int, **place: str) -> TextTooLong:
    """Make the error of a text, or of a cell, of `received` characters."""
    return TextTooLong(
        f"{where}: {received:,} characters, at most {expected:,} are taken",
        **place, expected=expected, received=received,
    )  # fmt: skip
