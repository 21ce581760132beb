"""What the service counts, and tells Prometheus."""

from service.metrics.cells import Cells, new_file
from service.metrics.metrics import PUBLISH_S, Metrics
from service.metrics.process import ProcessFigures, forget_levels
from service.metrics.routes import route_of
from service.metrics.series import Series

__all__ = [
    "PUBLISH_S", "Cells", "Metrics", "ProcessFigures", "Series", "forget_levels", "new_file", "route_of",
]  # fmt: skip
