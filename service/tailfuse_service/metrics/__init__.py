"""What the service counts, and tells Prometheus."""

from tailfuse_service.metrics.cells import Cells, new_file
from tailfuse_service.metrics.metrics import PUBLISH_S, Metrics
from tailfuse_service.metrics.process import ProcessFigures, forget_levels
from tailfuse_service.metrics.series import Series

__all__ = [
    "PUBLISH_S", "Cells", "Metrics", "ProcessFigures", "Series", "forget_levels", "new_file",
]  # fmt: skip
