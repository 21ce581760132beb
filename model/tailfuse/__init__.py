"""Multimodal classification for long-tailed data with missing modalities: from a table to a served bundle.

>>> model = tailfuse.load("bundle")
>>> model.predict({"review": ["a dark spot on the back"]}).tolist()
['nv']
"""

import importlib
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tailfuse_service.bundle import BundleError, InvalidInput, ServiceError

    from tailfuse.api.adapt import adapt_bundle
    from tailfuse.api.classifier import Classifier
    from tailfuse.api.compare import Comparison, compare
    from tailfuse.api.compare_bundles import BundleComparison, compare_bundles
    from tailfuse.api.cross_validate import CrossValidation, cross_validate
    from tailfuse.api.export import export_run, reduce_bundle
    from tailfuse.api.infer_spec import infer_spec
    from tailfuse.api.model import Model, load
    from tailfuse.api.predict import predict
    from tailfuse.api.predict_sample import predict_sample
    from tailfuse.api.report import Report
    from tailfuse.api.score import Scoring, ScoringError, score
    from tailfuse.api.sign import sign_bundle
    from tailfuse.api.stores import pull, push
    from tailfuse.api.train import evaluate, train
    from tailfuse.api.tune import Tuning, tune
    from tailfuse.errors import ExportError, RunError, SpecError, TableError, UserError
    from tailfuse.quickstart.quickstart import write_quickstart
    from tailfuse.spec.schema import load_spec

__version__ = version("tailfuse")
__all__ = [
    "BundleComparison",
    "BundleError",
    "Classifier",
    "Comparison",
    "CrossValidation",
    "ExportError",
    "InvalidInput",
    "Model",
    "Report",
    "RunError",
    "Scoring",
    "ScoringError",
    "ServiceError",
    "SpecError",
    "TableError",
    "Tuning",
    "UserError",
    "__version__",
    "adapt_bundle",
    "compare",
    "compare_bundles",
    "cross_validate",
    "evaluate",
    "export_run",
    "infer_spec",
    "load",
    "load_spec",
    "predict",
    "predict_sample",
    "pull",
    "push",
    "reduce_bundle",
    "score",
    "sign_bundle",
    "train",
    "tune",
    "write_quickstart",
]

# By name, the module that is imported when the name is used: the import of tailfuse itself is light.
PUBLIC = {
    "BundleComparison": "tailfuse.api.compare_bundles",
    "BundleError": "tailfuse_service.errors",
    "Classifier": "tailfuse.api.classifier",
    "Comparison": "tailfuse.api.compare",
    "CrossValidation": "tailfuse.api.cross_validate",
    "ExportError": "tailfuse.errors",
    "InvalidInput": "tailfuse_service.errors",
    "Model": "tailfuse.api.model",
    "Report": "tailfuse.api.report",
    "RunError": "tailfuse.errors",
    "Scoring": "tailfuse.api.score",
    "ScoringError": "tailfuse.api.score",
    "ServiceError": "tailfuse_service.errors",
    "SpecError": "tailfuse.errors",
    "TableError": "tailfuse.errors",
    "Tuning": "tailfuse.api.tune",
    "UserError": "tailfuse.errors",
    "adapt_bundle": "tailfuse.api.adapt",
    "compare": "tailfuse.api.compare",
    "compare_bundles": "tailfuse.api.compare_bundles",
    "cross_validate": "tailfuse.api.cross_validate",
    "evaluate": "tailfuse.api.train",
    "export_run": "tailfuse.api.export",
    "infer_spec": "tailfuse.api.infer_spec",
    "load": "tailfuse.api.model",
    "load_spec": "tailfuse.spec.schema",
    "predict": "tailfuse.api.predict",
    "predict_sample": "tailfuse.api.predict_sample",
    "pull": "tailfuse.api.stores",
    "push": "tailfuse.api.stores",
    "reduce_bundle": "tailfuse.api.export",
    "score": "tailfuse.api.score",
    "sign_bundle": "tailfuse.api.sign",
    "train": "tailfuse.api.train",
    "tune": "tailfuse.api.tune",
    "write_quickstart": "tailfuse.quickstart.quickstart",
}


def __getattr__(name: str) -> Any:
    if name not in PUBLIC:
        raise AttributeError(f"module 'tailfuse' has no attribute '{name}'")
    return getattr(importlib.import_module(PUBLIC[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *PUBLIC])
