"""Embeddings of rows, from a network in memory or from the ONNX graph of a bundle."""

from typing import Protocol, runtime_checkable

import numpy as np
import polars as pl
from numpy.typing import NDArray
from tailfuse_service.bundle import Batch, Bundle

from tailfuse.api.answers import read_pieces
from tailfuse.api.frames import Rows
from tailfuse.data.split_arrays import SplitArrays
from tailfuse.errors import UserError
from tailfuse.evaluation.answer_part import Floats

BATCH_ROWS = 256
GUIDED = ("confidence", "uniform")  # values of network.fusion whose network has a joint branch


@runtime_checkable
class Embedder(Protocol):
    """A runtime with embeddings: a network in memory, or an ONNX graph."""

    @property
    def can_embed(self) -> bool:
        """Return whether its network or graph has them."""
        ...

    def embed(self, batch: Batch) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Embed a batch: the modalities (B, M, W), 0 where absent, and all together (B, W)."""
        ...


def embed_rows(bundle: Bundle, rows: Rows) -> pl.DataFrame:
    """Return a frame with the embedding of each modality and the fused one; null where there is none.

    Raises UserError for a network or a graph that has none, and TableError.
    """
    embedder = find_embedder(bundle)
    pieces = [embed_piece(embedder, part) for part in read_pieces(bundle, rows.table, rows.folder)]
    columns: dict[str, Floats] = {}
    for name in pieces[0]:
        values = np.concatenate([piece[name] for piece in pieces])
        columns |= {f"{name}.{at}": column for at, column in enumerate(values.T)}
    return pl.DataFrame(columns).fill_nan(None)


def find_embedder(bundle: Bundle) -> Embedder:
    """Return the runtime of a bundle. Raises UserError, which says why a bundle has no embeddings."""
    runtime = bundle.runtime
    if isinstance(runtime, Embedder) and runtime.can_embed:
        return runtime
    name = bundle.manifest.name
    fusion = bundle.manifest.spec.get("network", {}).get("fusion", GUIDED[0])
    if fusion not in GUIDED:
        raise UserError(f"{name}: network.fusion {fusion} is a baseline without a fused embedding")
    if bundle.runtime_name == "torchscript":
        raise UserError(f"{name}: the TorchScript graph has no embeddings; open the bundle with runtime onnx")
    raise UserError(
        f"{name} was opened from its bundle, whose graph has no embeddings: an older tailfuse exported it; "
        "`tailfuse export RUN` writes the bundle of a run anew"
    )


def embed_piece(embedder: Embedder, part: SplitArrays) -> dict[str, Floats]:
    """Return `embedding.<modality>` (N, W) of each modality, and `fused` (N, W); NaN where there is none."""
    presence = part.presence()
    at = np.flatnonzero(presence.any(axis=1))
    some = at if len(at) else np.arange(min(len(part), 1))  # for the width
    embedded = [embedder.embed(batch.batch()) for batch in part.take(some).batches(BATCH_ROWS)]
    alone, fused = (np.concatenate(each).astype(np.float64) for each in zip(*embedded, strict=True))
    made = {}
    for m, name in enumerate(part.modalities):
        made[f"embedding.{name}"] = np.full((len(part), fused.shape[1]), np.nan)
        made[f"embedding.{name}"][some] = np.where(presence[some, m, None], alone[:, m], np.nan)
    made["fused"] = np.full((len(part), fused.shape[1]), np.nan)
    made["fused"][at] = fused[: len(at)]
    return made
