"""What is read on the event loop, and what by a thread."""

from dataclasses import replace

from tailfuse_service.bundle import Bundle
from tailfuse_service.bundle.bundle import features_by_modality

# Parsing a longer request, or decoding a larger image, would delay all other requests on the event loop. On
# one core a thread costs a quarter more, but without it some requests wait ten times as long as others.
INLINE_BYTES, INLINE_PIXELS = 16 * 1024, 256 * 1024


def limit_to_small(bundle: Bundle) -> Bundle:
    """Return the bundle with limits that reject larger images, and those that would wait for memory."""
    few = replace(bundle.limits, max_pixels=min(bundle.limits.max_pixels, INLINE_PIXELS), waits=False)
    return replace(bundle, features=features_by_modality(bundle.manifest.modalities, few))
