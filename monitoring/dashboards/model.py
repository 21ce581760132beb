"""Which versions answer, and how do they compare?"""

from grafana_foundation_sdk.models.dashboard import Dashboard

from monitoring.dashboards.frame import Row, framed, row
from monitoring.dashboards.panels import (
    BAD,
    FAINT,
    GOOD,
    bars_by,
    colour,
    grid,
    lines,
    over_time,
    rows_of,
    states,
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
    return framed(
        "tailfuse-model",
        "Model",
        "Versions that are served, and how a new one compares with the one before.",
        [versions(), traffic(), comparison(), shadow()],
    )


def versions() -> Row:
    info = select("tailfuse_model_info")
    return row(
        "Versions",
        grid(
            "Served now",
            "One row for each instance and bundle. Instances that differ: a rollout, or one "
            "that has missed its new bundle; its log says why.",
            rows_of(f"max by ({LOADED},role,runtime,device,precision) ({info})"),
            rows_of(total(select("tailfuse_model_load_seconds"), LOADED, "max")),
            rows_of(f"1000 * {total(select('tailfuse_model_loaded_timestamp_seconds'), LOADED, 'max')}"),
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
            "Which version answered (stable), which a share of the requests (canary), and which "
            "was only asked along (shadow).",
            over_time(roles(), NAMED),
            ROLES,
            unit="short",
            span=16,
            height=6,
            names=tuple(NUMBERED),
        ),
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
        .decimals(0)
        .override_by_name("ok", [colour(GOOD)])
        .override_by_name("failed", [colour(BAD)]),
    )


def traffic() -> Row:
    samples = rate("tailfuse_samples_total", BUNDLE)
    return row(
        "Traffic and time",
        lines(
            "Samples by version",
            "Who is asked how much; after a rollout the old version's part ends.",
            over_time(samples, NAMED),
            unit="cps",
            span=6,
            stacked=True,
        ),
        lines(
            "Share of the traffic",
            "Who is asked how much. A shadow's samples are copies of those that the stable version answers.",
            over_time(
                f"{samples} / on (model) group_left () {rate('tailfuse_samples_total', 'model')}", NAMED
            ),
            unit="percentunit",
            span=6,
        ).max(1),
        lines(
            "Run time of the graph, p95",
            "One run answers a batch. Of an instance with several versions it is that of all of "
            "them, under the name of the stable one; a canary on an instance of its own shows "
            "here.",
            over_time(by_version(0.95, "tailfuse_stage_seconds", 'stage="run"'), NAMED),
            unit="s",
            span=6,
        ),
        lines(
            "Duration of a prediction, p99",
            "Of single predictions, by instance as beside. A version that is slower for longer "
            "than its start needs more threads, or is not to be promoted.",
            over_time(by_version(0.99, "tailfuse_request_seconds", SINGLE), NAMED),
            unit="s",
            span=6,
        ),
    )


def roles() -> str:
    """1 is stable, 2 canary, 3 shadow, 4 none of them."""
    info = {role: total(select("tailfuse_model_info", f'role="{role}"'), BUNDLE, "max") for role in NUMBERED}
    return " or ".join(f"{number} * {info[role]}" for role, number in NUMBERED.items())


def by_version(q: float, histogram: str, where: str) -> str:
    """A quantile of what an instance measures, by the version that it serves as stable."""
    serves = total(select("tailfuse_model_info", 'role="stable"'), LOADED, "max")
    measured = quantile(q, histogram, "instance", where)
    return f"max by ({BUNDLE}) ({measured} * on (instance) group_right () {serves})"


def comparison() -> Row:
    return row(
        "Answers by version: canary against stable",
        bars_by(
            "Classes by version",
            "Share of the answers in the range, by class. A class that only one version names "
            "is what to look at before the rollout goes on.",
            rows_of(f"max by (version,label) ({class_shares('$__range')})"),
            rows="label",
            columns="version",
        ),
        lines(
            "Few-shot share by version",
            "Share of the answers that named a class of few training rows. A canary that loses "
            "the tail is no progress, however good its mean.",
            over_time(shot_shares("$__rate_interval", 'shot="few"'), NAMED),
            unit="percentunit",
            span=12,
        ),
        lines(
            "Mean entropy by version",
            "How undecided a version's answers are; one that is more so than the other has "
            "learnt from inputs unlike those it gets.",
            over_time(mean("tailfuse_entropy", BUNDLE), NAMED),
            unit="percentunit",
        ),
        lines(
            "Mean confidence by version",
            "How sure each modality is of itself. One that is much less so in a new version: "
            "its encoder, or how its inputs are prepared, has changed.",
            over_time(mean("tailfuse_confidence", f"{BUNDLE},modality"), "{{modality}}, version {{version}}"),
            unit="percentunit",
        ).max(1),
        lines(
            "Mean fusion weight by version",
            "How much each modality counts. A new version that leans on another modality fails "
            "with that one.",
            over_time(
                mean("tailfuse_fusion_weight", f"{BUNDLE},modality"), "{{modality}}, version {{version}}"
            ),
            unit="percentunit",
        ).max(1),
    )


def shadow() -> Row:
    disagreed, compared = 'outcome="disagree"', 'outcome=~"agree|disagree"'
    pairs = increase("tailfuse_shadow_disagreements_total", f"{BUNDLE},label,shadow_label")
    return row(
        "Shadow",
        lines(
            "Shadow disagreement",
            "Share of the compared samples to which the shadow gives another class. Before a "
            "promotion look at which classes those are: beside and below.",
            over_time(share_of(disagreed, compared, BUNDLE), NAMED),
            unit="percentunit",
            span=6,
        ),
        lines(
            "Shadow disagreement by subset",
            "Which modalities were there where they disagree. One subset alone: the versions "
            "differ in how they fuse, or in one encoder.",
            over_time(share_of(disagreed, compared, "subset"), "{{subset}}"),
            unit="percentunit",
            span=6,
        ),
        lines(
            "Shadow samples by outcome",
            "What the shadow was asked. dropped: it could not keep up, so less was compared; "
            "failed: its graph did not answer, and its log says why.",
            over_time(rate(SHADOWED, "outcome"), "{{outcome}}"),
            unit="cps",
            stacked=True,
            span=6,
        ),
        grid(
            "What the shadow says instead",
            "Pairs of labels in the range, most frequent first. A rare class that the shadow "
            "finds is a gain, one that it loses a reason to wait.",
            rows_of(f"sort_desc(topk(20, round({pairs})))"),
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


def share_of(part: str, whole: str, by: str) -> str:
    """Of what the shadow was asked; 0 where there was nothing of it."""
    all_of_it = rate(SHADOWED, by, whole)
    return f"({rate(SHADOWED, by, part)} or 0 * {all_of_it}) / {all_of_it}"
