"""Which versions answer, and how do they compare?"""

from grafana_foundation_sdk.models.dashboard import Dashboard

from monitoring.dashboards.frame import Row, framed, row
from monitoring.dashboards.panels import (
    BAD,
    GOOD,
    bars_by,
    colour,
    grid,
    lines,
    over_time,
    rows_of,
    value,
)
from monitoring.dashboards.promql import (
    BUNDLE,
    class_shares,
    mean,
    quantile,
    rate,
    select,
    shot_shares,
    total,
)

NAMED = "{{model}} {{version}}"
LOADED = f"instance,{BUNDLE}"


def model() -> Dashboard:
    return framed(
        "tailfuse-model",
        "Model",
        "Versions that are served, and how a new one compares with the one before.",
        [versions(), traffic(), comparison()],
    )


def versions() -> Row:
    info = select("tailfuse_model_info")
    return row(
        "Versions",
        grid(
            "Served now",
            "One row for each instance and bundle. Two versions of a model: a rollout or a canary; if "
            "nobody knows of one, an instance has missed its reload.",
            rows_of(f"max by ({LOADED},runtime,device,precision) ({info})"),
            rows_of(total(select("tailfuse_model_load_seconds"), LOADED, "max")),
            rows_of(f"1000 * {total(select('tailfuse_model_loaded_timestamp_seconds'), LOADED, 'max')}"),
            names={
                "model": "Model",
                "version": "Version",
                "instance": "Instance",
                "runtime": "Runtime",
                "device": "Device",
                "precision": "Precision",
                "Value #B": "Load time",
                "Value #C": "Since",
            },
            hidden=("Time", "Value #A"),
            span=16,
            height=6,
        )
        .override_by_name("Load time", [value("unit", "s")])
        .override_by_name("Since", [value("unit", "dateTimeAsIso")]),
        lines(
            "Reloads",
            "Bundles opened again in the window. failed: the old bundle goes on answering; the log says why.",
            over_time(
                f"sum by (outcome) (increase({select('tailfuse_reloads_total')}[$__rate_interval]))",
                "{{outcome}}",
            ),
            span=8,
            height=6,
        )
        .override_by_name("ok", [colour(GOOD)])
        .override_by_name("failed", [colour(BAD)]),
    )


def traffic() -> Row:
    samples = rate("tailfuse_samples_total", BUNDLE)
    return row(
        "Traffic and time",
        lines(
            "Samples by version",
            "Who answers how much; after a rollout the old version ends.",
            over_time(samples, NAMED),
            unit="cps",
            stacked=True,
        ),
        lines(
            "Share of the traffic",
            "What a canary gets.",
            over_time(
                f"{samples} / on (model) group_left () {rate('tailfuse_samples_total', 'model')}", NAMED
            ),
            unit="percentunit",
        ).max(1),
        lines(
            "Run time of the graph, p95",
            "One run answers a batch; by the version that its instance serves.",
            over_time(by_version(0.95, "tailfuse_stage_seconds", 'stage="run"'), NAMED),
            unit="s",
        ),
        lines(
            "Duration of a prediction, p50",
            "POST /predict, by the version that its instance serves.",
            over_time(by_version(0.5, "tailfuse_request_seconds", 'route="/predict"'), NAMED),
            unit="s",
            span=12,
        ),
        lines(
            "Duration of a prediction, p99",
            "POST /predict, by the version that its instance serves. A canary that is slower than the "
            "stable version for longer than its start is slower.",
            over_time(by_version(0.99, "tailfuse_request_seconds", 'route="/predict"'), NAMED),
            unit="s",
            span=12,
        ),
    )


def by_version(q: float, histogram: str, where: str) -> str:
    """A quantile of what an instance measures, by the version that it serves (its stable one)."""
    serves = total(select("tailfuse_model_info", 'role!~"canary|shadow"'), LOADED, "max")
    measured = quantile(q, histogram, "instance", where)
    return f"max by ({BUNDLE}) ({measured} * on (instance) group_right () {serves})"


def comparison() -> Row:
    return row(
        "Answers by version",
        bars_by(
            "Classes by version",
            "Share of the answers in the range, by class. A class that only one version names is what to "
            "look at before the rollout goes on.",
            rows_of(f"max by (version,label) ({class_shares('$__range')})"),
            rows="label",
            columns="version",
        ),
        lines(
            "Few-shot share by version",
            "Share of the answers that named a class of few training rows.",
            over_time(shot_shares("$__rate_interval", 'shot="few"'), NAMED),
            unit="percentunit",
            span=12,
        ),
        lines(
            "Mean entropy by version",
            "How undecided its answers are; a new version that is more so has learnt from other inputs "
            "than it gets.",
            over_time(mean("tailfuse_entropy", BUNDLE), NAMED),
            unit="percentunit",
        ),
        lines(
            "Mean confidence by version",
            "How sure each modality is of itself.",
            over_time(mean("tailfuse_confidence", f"{BUNDLE},modality"), "{{modality}}, version {{version}}"),
            unit="percentunit",
        ).max(1),
        lines(
            "Mean fusion weight by version",
            "How much each modality counts.",
            over_time(
                mean("tailfuse_fusion_weight", f"{BUNDLE},modality"), "{{modality}}, version {{version}}"
            ),
            unit="percentunit",
        ).max(1),
    )
