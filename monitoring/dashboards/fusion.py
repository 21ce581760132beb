"""Has a modality gone bad? How much each counts, how sure it is, and whether it looks as it did."""

from grafana_foundation_sdk.builders import timeseries
from grafana_foundation_sdk.models.dashboard import Dashboard

from monitoring.dashboards.frame import Row, framed, row, row_for_each, values_of
from monitoring.dashboards.panels import (
    BAD,
    FAINT,
    GOOD,
    HEALTH,
    PSI,
    WARN,
    at_the_end,
    colour,
    heat_map,
    lines,
    over_time,
    ranking,
    states,
    value,
)
from monitoring.dashboards.promql import (
    mean,
    presence,
    presence_health,
    quantile,
    rate,
    select,
    total,
    weight_health,
)

WEIGHT, CONFIDENCE = "tailfuse_fusion_weight", "tailfuse_confidence"
THIS = 'modality=~"$modality"'
DASHED = value("custom.lineStyle", {"fill": "dash", "dash": [8, 6]})
NO_FILL = value("custom.fillOpacity", 0)


def fusion() -> Dashboard:
    return framed(
        "tailfuse-fusion",
        "Fusion",
        "Which modality counts how much, against what it did on the bundle's evaluated rows.",
        [in_five_seconds(), all_modalities(), inputs(), answers(), each_modality()],
        [values_of("modality", 'tailfuse_modality_present_total{model=~"$model"}')],
    )


def in_five_seconds() -> Row:
    drift = total(select("tailfuse_input_drift"), "modality", "max")
    return row(
        "Has a modality gone bad?",
        states(
            "Weight against its reference",
            "Mean fusion weight beside other modalities, by its mean on the bundle's evaluated "
            "rows. Red is under a quarter: the model has stopped trusting the modality. Look at "
            "its sensor, and at its row below.",
            over_time(weight_health(), "{{modality}}"),
            HEALTH,
        ),
        states(
            "Presence against its reference",
            "Share of the samples that had the modality, by its share on the evaluated rows. "
            "Red: it hardly arrives any more; ask those who send it.",
            over_time(presence_health(), "{{modality}}"),
            HEALTH,
        ),
        states(
            "Worst input drift",
            "Population stability index of the modality's worst input over the service's drift "
            "window; above 0.25 it does not look as on the evaluated rows. Shown from 200 rows "
            "on.",
            over_time(drift, "{{modality}}"),
            PSI,
            unit="short",
        ),
    )


def all_modalities() -> Row:
    return row(
        "All modalities",
        lines(
            "Fusion weight",
            "Mean weight where present. Weights of one sample sum to 1: one that falls lifts "
            "the others. Its own row below has the reference.",
            over_time(mean(WEIGHT, "modality"), "{{modality}}"),
            unit="percentunit",
        ).max(1),
        lines(
            "Confidence",
            "Mean probability, as estimated by the model, that the modality alone is right. It "
            "falls before accuracy can be known.",
            over_time(mean(CONFIDENCE, "modality"), "{{modality}}"),
            unit="percentunit",
        ).max(1),
        lines(
            "Presence",
            "Share of the samples that had the modality. One that falls: ask those who send it.",
            over_time(f"max by (modality) ({presence()})", "{{modality}}"),
            unit="percentunit",
        ).max(1),
    )


def inputs() -> Row:
    failed, came = "tailfuse_decode_failures_total", "tailfuse_modality_present_total"
    failures = rate(failed, "modality")
    drift = f"max_over_time({select('tailfuse_input_drift')}[$__range])"
    worst = total(drift, "modality,input", "max")
    return row(
        "What comes in",
        lines(
            "Samples by subset",
            "Which modalities come together. A new subset is a caller who has changed, or one "
            "whose sensor has gone.",
            over_time(rate("tailfuse_samples_total", "subset"), "{{subset}}"),
            unit="cps",
            stacked=True,
        ),
        lines(
            "Decode failures",
            "Share of the values sent as the modality that could not be read. "
            "TailfuseDecodeFailures fires above 5 %; the callers were told why (422).",
            over_time(f"{failures} / ({failures} + {rate(came, 'modality')})", "{{modality}}"),
            unit="percentunit",
            steps=((None, GOOD), (0.05, BAD)),
        ).axis_soft_max(0.1),
        ranking(
            "Inputs that drifted most",
            "Highest population stability index of single inputs in the range: up to 0.1 as "
            "ever, above 0.25 another distribution. A column names its source; brightness, "
            "contrast or detail name a camera.",
            at_the_end(f"sort_desc(topk(10, {worst}))", "{{modality}}: {{input}}"),
            PSI,
        ),
        lines(
            "Weight drift",
            "Population stability index of the fusion weights against the evaluated rows: the "
            "whole distribution, where the mean may stay.",
            over_time(total(select("tailfuse_weight_drift"), "modality", "max"), "{{modality}}"),
            steps=PSI,
            span=12,
        ),
        lines(
            "Rows that drift is judged by",
            "Rows in the drift window; below 200 nothing is judged.",
            over_time(total(select("tailfuse_drift_rows"), "modality"), "{{modality}}"),
            steps=((None, GOOD), (200, WARN)),
            span=12,
        ),
    )


def answers() -> Row:
    return row(
        "What comes out",
        average_and_p90(
            "Expert disagreement",
            "tailfuse_expert_disagreement",
            "Bits between the answers that the modalities would give alone. A rise with steady "
            "weights: a modality is wrong and sure of it, which no weight shows. Empty for "
            "bundles made before it was measured.",
            "suffix: bit",
        ),
        average_and_p90(
            "Entropy",
            "tailfuse_entropy",
            "How undecided answers are: 0 is one class for sure, 1 is all alike. A rise means "
            "inputs that the model has not learnt from.",
            "percentunit",
        ),
    )


def average_and_p90(title: str, histogram: str, tells: str, unit: str) -> timeseries.Panel:
    return lines(
        title,
        tells,
        over_time(mean(histogram), "mean"),
        over_time(quantile(0.9, histogram), "p90"),
        unit=unit,
        span=12,
    )


def each_modality() -> Row:
    return row_for_each(
        "modality",
        "Modality: $modality",
        against("Weight of $modality", WEIGHT, "tailfuse_reference_weight"),
        heat_map(
            "Weights of $modality",
            "All weights, not only their mean: a second band low down is a part of the senders "
            "whose $modality has gone bad.",
            rate(f"{WEIGHT}_bucket", "le", THIS),
        ),
        against("Confidence of $modality", CONFIDENCE, "tailfuse_reference_confidence"),
    )


def against(title: str, histogram: str, reference: str) -> timeseries.Panel:
    """Mean and quantiles beside the reference."""
    panel = lines(
        title,
        "Mean, the band that eight of ten samples lie in, and the mean on the bundle's "
        "evaluated rows (dashed).",
        over_time(quantile(0.9, histogram, where=THIS), "p90"),
        over_time(mean(histogram, where=THIS), "$modality"),
        over_time(quantile(0.1, histogram, where=THIS), "p10"),
        over_time(f"max({select(reference, THIS)})", "reference"),
        unit="percentunit",
    ).max(1)
    faint = [colour(FAINT), NO_FILL, value("custom.lineWidth", 0)]
    panel = panel.override_by_name(
        "p90", [*faint, value("custom.fillBelowTo", "p10"), value("custom.fillOpacity", 18)]
    )
    panel = panel.override_by_name("p10", faint)
    return panel.override_by_name(
        "reference", [colour("white"), DASHED, NO_FILL, value("custom.lineWidth", 1)]
    )
