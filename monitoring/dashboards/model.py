"""Dashboard of versions: their roles and traffic, and how their predictions compare."""

from grafana_foundation_sdk.models.dashboard import Dashboard

from monitoring.dashboards.frame import Row, make_dashboard, row
from monitoring.dashboards.panels import (
    BAD,
    FAINT,
    GOOD,
    bars_by,
    colour,
    grid,
    lines,
    range_query,
    states,
    table_query,
    value,
)
from monitoring.dashboards.promql import (
    BUNDLE,
    SINGLE,
    class_shares,
    increase,
    mean,
    quantile,
    rate,
    select,
    shot_shares,
    total,
)

NAMED = "{{model}} {{version}}"
LOADED = f"instance,{BUNDLE}"
NUMBERED = {"stable": 1, "canary": 2, "shadow": 3, "none": 4}
SHADOWED = "tailfuse_shadow_samples_total"
ROLES = ((None, "green"), (2, "yellow"), (3, "purple"), (4, FAINT))


def model() -> Dashboard:
    """Return the dashboard of models and versions."""
    return make_dashboard(
        "tailfuse-model",
        "Model",
        "Served versions, and how a new version compares with the previous one.",
        [versions(), traffic(), comparison(), shadow()],
    )


def versions() -> Row:
    """Return the row of the versions that are loaded."""
    info = select("tailfuse_model_info")
    return row(
        "Versions",
        grid(
            "Served now",
            "One row per instance and bundle. Instances differ during a rollout, or if one failed to "
            "load a new bundle; see its log.",
            table_query(f"max by ({LOADED},role,runtime,device,precision) ({info})"),
            table_query(total(select("tailfuse_model_load_seconds"), LOADED, "max")),
            table_query(f"1000 * {total(select('tailfuse_model_loaded_timestamp_seconds'), LOADED, 'max')}"),
            names={
                "model": "Model",
                "version": "Version",
                "role": "Role",
                "instance": "Instance",
                "runtime": "Runtime",
                "device": "Device",
                "precision": "Precision",
                "Value #B": "Load time",
                "Value #C": "Since",
            },
            hidden=("Time", "Value #A"),
            span=24,
            height=6,
        )
        .override_by_name("Load time", [value("unit", "s")])
        .override_by_name("Since", [value("unit", "dateTimeAsIso")]),
        states(
            "Roles",
            "Role of each version: stable, canary (a share of the requests), or shadow (predictions "
            "are compared, not returned).",
            range_query(roles(), NAMED),
            ROLES,
            unit="short",
            span=16,
            height=6,
            names=tuple(NUMBERED),
        ),
        lines(
            "Reloads",
            "Bundle reloads in the window. After a failed reload the previous bundle stays; see the log.",
            range_query(
                f"sum by (outcome) (increase({select('tailfuse_reloads_total')}[$__rate_interval]))",
                "{{outcome}}",
            ),
            span=8,
            height=6,
        )
        .decimals(0)
        .override_by_name("ok", [colour(GOOD)])
        .override_by_name("failed", [colour(BAD)]),
    )


def traffic() -> Row:
    """Return the row of requests by version."""
    samples = rate("tailfuse_samples_total", BUNDLE)
    return row(
        "Traffic and time",
        lines(
            "Samples by version",
            "Samples per second by version. After a rollout the previous version receives none.",
            range_query(samples, NAMED),
            unit="cps",
            span=6,
            stacked=True,
        ),
        lines(
            "Share of the traffic",
            "Share of samples by version. A shadow's samples are copies of the stable version's.",
            range_query(
                f"{samples} / on (model) group_left () {rate('tailfuse_samples_total', 'model')}", NAMED
            ),
            unit="percentunit",
            span=6,
        ).max(1),
        lines(
            "Run time of the graph, p95",
            "Time of one batch. An instance with several versions reports all of them under its "
            "stable version; a canary on a separate instance is shown separately.",
            range_query(by_version(0.95, "tailfuse_stage_seconds", 'stage="run"'), NAMED),
            unit="s",
            span=6,
        ),
        lines(
            "Duration of a prediction, p99",
            "Duration of single predictions, by stable version of the instance. A version that stays "
            "slower needs more threads, or should not be promoted.",
            range_query(by_version(0.99, "tailfuse_request_seconds", SINGLE), NAMED),
            unit="s",
            span=6,
        ),
    )


def roles() -> str:
    """Return the number of each version's role: 1 stable, 2 canary, 3 shadow, 4 none."""
    info = {role: total(select("tailfuse_model_info", f'role="{role}"'), BUNDLE, "max") for role in NUMBERED}
    return " or ".join(f"{number} * {info[role]}" for role, number in NUMBERED.items())


def by_version(q: float, histogram: str, where: str) -> str:
    """Return a quantile of an instance's measurements by its stable version."""
    serves = total(select("tailfuse_model_info", 'role="stable"'), LOADED, "max")
    measured = quantile(q, histogram, "instance", where)
    return f"max by ({BUNDLE}) ({measured} * on (instance) group_right () {serves})"


def comparison() -> Row:
    """Return the row that compares canary and stable."""
    return row(
        "Predictions by version: canary against stable",
        bars_by(
            "Classes by version",
            "Share of predictions by class in the time range. Investigate a class that only one "
            "version predicts before the rollout continues.",
            table_query(f"max by (version,label) ({class_shares('$__range')})"),
            rows="label",
            columns="version",
        ),
        lines(
            "Few-shot share by version",
            "Share of predictions of a few-shot class. Do not promote a canary that loses rare classes.",
            range_query(shot_shares("$__rate_interval", 'shot="few"'), NAMED),
            unit="percentunit",
            span=12,
        ),
        lines(
            "Mean entropy by version",
            "Mean normalised entropy by version. The higher one was trained on data less like the "
            "current inputs.",
            range_query(mean("tailfuse_entropy", BUNDLE), NAMED),
            unit="percentunit",
        ),
        lines(
            "Mean confidence by version",
            "Mean confidence of each modality. If it is much lower in a new version, the encoder or "
            "the preprocessing has changed.",
            range_query(
                mean("tailfuse_confidence", f"{BUNDLE},modality"), "{{modality}}, version {{version}}"
            ),
            unit="percentunit",
        ).max(1),
        lines(
            "Mean fusion weight by version",
            "Mean fusion weight of each modality. It shows which modality a version depends on.",
            range_query(
                mean("tailfuse_fusion_weight", f"{BUNDLE},modality"), "{{modality}}, version {{version}}"
            ),
            unit="percentunit",
        ).max(1),
    )


def shadow() -> Row:
    """Return the row of the shadow."""
    disagreed, compared = 'outcome="disagree"', 'outcome=~"agree|disagree"'
    pairs = increase("tailfuse_shadow_disagreements_total", f"{BUNDLE},label,shadow_label")
    return row(
        "Shadow",
        lines(
            "Shadow disagreement",
            "Share of compared samples for which the shadow predicts another class. Check these "
            "classes before a promotion.",
            range_query(shadow_share(disagreed, compared, BUNDLE), NAMED),
            unit="percentunit",
            span=6,
        ),
        lines(
            "Shadow disagreement by subset",
            "Shadow disagreement by subset of modalities. If one subset stands out, the versions "
            "differ in fusion or in one encoder.",
            range_query(shadow_share(disagreed, compared, "subset"), "{{subset}}"),
            unit="percentunit",
            span=6,
        ),
        lines(
            "Shadow samples by outcome",
            "Samples sent to the shadow. dropped: the shadow was too slow; failed: its graph raised "
            "an error, see the log.",
            range_query(rate(SHADOWED, "outcome"), "{{outcome}}"),
            unit="cps",
            stacked=True,
            span=6,
        ),
        grid(
            "Pairs of differing predictions",
            "Pairs of labels in the time range, sorted by frequency. A rare class that only the "
            "shadow predicts is a gain; one that it misses is a loss.",
            table_query(f"sort_desc(topk(20, round({pairs})))"),
            names={
                "model": "Model",
                "version": "Version",
                "label": "Stable",
                "shadow_label": "Shadow",
                "Value": "Samples",
            },
            span=6,
            height=8,
        ),
    )


def shadow_share(part: str, whole: str, by: str) -> str:
    """Return a share of the shadow's samples; 0 without any."""
    everything = rate(SHADOWED, by, whole)
    return f"({rate(SHADOWED, by, part)} or 0 * {everything}) / {everything}"
