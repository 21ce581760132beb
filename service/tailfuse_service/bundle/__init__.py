"""Open and run a bundle: no web, no torch. A layer of the service that `model` uses too."""

from tailfuse_service.bundle.answer import Prediction, format_answer, make_predictions
from tailfuse_service.bundle.atomic import atomic_file, atomic_folder, write_atomically
from tailfuse_service.bundle.batch import (
    CACHED,
    CONFLICT,
    DISAGREEMENT,
    EMBEDDINGS,
    FEATURES,
    OUTPUT_NAMES,
    Batch,
    Output,
    Sample,
    collate,
    input_names,
)
from tailfuse_service.bundle.bundle import (
    Bundle,
    features_by_modality,
    import_runtime,
    input_schema,
    open_bundle,
    open_graph,
)
from tailfuse_service.bundle.embedding_cache import EmbeddingCache
from tailfuse_service.bundle.files import GRAPHS, MANIFEST, hash_manifest, pack, read_manifest, sha256
from tailfuse_service.bundle.manifest import Manifest
from tailfuse_service.bundle.prior import (
    PRIORS,
    ClassPrior,
    PriorError,
    apply_prior,
    check_loss,
    compute_shares,
    make_prior,
)
from tailfuse_service.bundle.prior_file import read_prior
from tailfuse_service.bundle.runtime import Runtime, RuntimeName
from tailfuse_service.errors import BundleError, InvalidInput, ServiceError, install_hint
from tailfuse_service.modalities import Features
from tailfuse_service.modalities.limits import Limits

__all__ = [
    "CACHED",
    "CONFLICT",
    "DISAGREEMENT",
    "EMBEDDINGS",
    "FEATURES",
    "GRAPHS",
    "MANIFEST",
    "OUTPUT_NAMES",
    "PRIORS",
    "Batch",
    "Bundle",
    "BundleError",
    "ClassPrior",
    "EmbeddingCache",
    "Features",
    "InvalidInput",
    "Limits",
    "Manifest",
    "Output",
    "Prediction",
    "PriorError",
    "Runtime",
    "RuntimeName",
    "Sample",
    "ServiceError",
    "apply_prior",
    "atomic_file",
    "atomic_folder",
    "check_loss",
    "collate",
    "compute_shares",
    "features_by_modality",
    "format_answer",
    "hash_manifest",
    "import_runtime",
    "input_names",
    "input_schema",
    "install_hint",
    "make_predictions",
    "make_prior",
    "open_bundle",
    "open_graph",
    "pack",
    "read_manifest",
    "read_prior",
    "sha256",
    "write_atomically",
]
