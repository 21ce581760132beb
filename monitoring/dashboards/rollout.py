"""Rows of the Model dashboard for a canary and a shadow: bundles with a role beside the stable one."""

from monitoring.dashboards.frame import Row, row
from monitoring.dashboards.panels import grid, lines, over_time, rows_of
from monitoring.dashboards.promql import BUNDLE, increase, mean, rate, select, share, shot_shares, total

NAMED = "{{role}}: {{model}} {{version}}"
SAMPLES, PAIRS = "tailfuse_shadow_samples_total", "tailfuse_shadow_disagreements_total"


def with_role(expr: str) -> str:
    """Series by model and version, with the role that the version has."""
    roles = total(select("tailfuse_model_info"), f"{BUNDLE},role", "max")
    return f"({expr}) * on ({BUNDLE}) group_left (role) {roles}"


def canary() -> Row:
    samples = rate("tailfuse_samples_total", BUNDLE)
    few = total(shot_shares("$__rate_interval", 'shot="few"'), BUNDLE)
    return row(
        "Canary against stable",
        lines(
            "Share of the traffic by role",
            "What the canary gets, beside the stable version.",
            over_time(with_role(share(samples, rate("tailfuse_samples_total", "model"), "model")), NAMED),
            unit="percentunit",
        ).max(1),
        lines(
            "Few-shot share by role",
            "Share of the answers that named a class of few training rows. A canary that loses the tail "
            "is no progress, however good its mean.",
            over_time(with_role(few), NAMED),
            unit="percentunit",
        ),
        lines(
            "Mean entropy by role",
            "How undecided answers are.",
            over_time(with_role(mean("tailfuse_entropy", BUNDLE)), NAMED),
            unit="percentunit",
        ),
    )


def shadow() -> Row:
    disagreed, everything = rate(SAMPLES, BUNDLE, DISAGREED), rate(SAMPLES, BUNDLE)
    by_subset = rate(SAMPLES, "subset", DISAGREED), rate(SAMPLES, "subset")
    return row(
        "Shadow",
        lines(
            "Shadow disagreement",
            "Share of the samples that the shadow would have answered with another class.",
            over_time(f"({disagreed} or 0 * {everything}) / {everything}", "{{model}} {{version}}"),
            unit="percentunit",
        ),
        lines(
            "Shadow disagreement by subset",
            "Which modalities were there where they disagree.",
            over_time(f"({by_subset[0]} or 0 * {by_subset[1]}) / {by_subset[1]}", "{{subset}}"),
            unit="percentunit",
        ),
        grid(
            "What the shadow says instead",
            "Pairs of answers in the range, most frequent first.",
            rows_of(f"topk(20, {increase(PAIRS, 'label,shadow_label')})"),
            names={"label": "Answered", "shadow_label": "Shadow", "Value": "Samples"},
            span=8,
            height=8,
        ),
    )


DISAGREED = 'outcome="disagree"'
