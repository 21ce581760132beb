"""The kinds of panel, each drawn the same way everywhere."""

from collections.abc import Sequence
from typing import TypeVar

from grafana_foundation_sdk.builders import bargauge, common, dashboard, heatmap, prometheus, stat, statetimeline, table, timeseries
from grafana_foundation_sdk.models.common import (
    BarGaugeDisplayMode, BigValueColorMode, BigValueGraphMode, BigValueTextMode, GraphGradientMode, GraphThresholdsStyleMode,
    LegendDisplayMode, LegendPlacement, SortOrder, StackingMode, TooltipDisplayMode, VisibilityMode, VizOrientation,
)
from grafana_foundation_sdk.models.dashboard import (
    DataSourceRef, DataTransformerConfig, DynamicConfigValue, FieldColorModeId, Threshold, ThresholdsMode, ValueMap,
    ValueMappingResult,
)
from grafana_foundation_sdk.models.heatmap import HeatmapColorMode
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

SOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")
GOOD, WARN, BAD, PLAIN, FAINT = "green", "orange", "red", "blue", "#8e8e8e"
BY_NAME = FieldColorModeId.PALETTE_CLASSIC_BY_NAME  # a modality has one colour on every panel

Steps = Sequence[tuple[float | None, str]]  # from this value on, this colour; None is from the lowest on
P = TypeVar("P", bargauge.Panel, heatmap.Panel, stat.Panel, statetimeline.Panel, table.Panel, timeseries.Panel)
