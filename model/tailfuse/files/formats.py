"""What the end of a file's name says about the file."""

from PIL import Image
from tailfuse_service.modalities.image.formats import PILLOW_FORMATS

TEXT_ENDINGS = (".csv", ".tsv", ".csv.gz", ".tsv.gz")
TYPED_ENDINGS = (".parquet", ".feather", ".arrow", ".jsonl", ".ndjson", ".xlsx", ".tar")
SPEC_ENDINGS = (".yaml", ".yml")
OPTIONAL_IMAGES = (".heic", ".heif", ".dcm")  # read by packages that may not be there
IMAGE_ENDINGS = (
    *(ending for ending, name in Image.registered_extensions().items() if name in PILLOW_FORMATS),
    *OPTIONAL_IMAGES,
)


def is_table(path: str) -> bool:
    """Return whether the name is that of a table.

    >>> is_table("data/Birds.CSV"), is_table("spec.yaml")
    (True, False)
    """
    return path.lower().endswith((*TEXT_ENDINGS, *TYPED_ENDINGS))


def is_spec(path: str) -> bool:
    """Return whether the name is that of a spec."""
    return path.lower().endswith(SPEC_ENDINGS)
