"""Dashboard of modalities: fusion weights, confidences, and input drift. Is a modality corrupted?"""

from grafana_foundation_sdk.builders import timeseries
from grafana_foundation_sdk.models.dashboard import Dashboard

from monitoring.dashboards.frame import Row, make_dashboard, make_label_variable, row, row_for_each
from monitoring.dashboards.panels import (
    BAD,
    FAINT,
    GOOD,
    HEALTH,
    PSI,
    WARN,
    colour,
    heat_map,
    instant_query,
    lines,
    range_query,
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
    """Return the dashboard of the fusion weights."""
    return make_dashboard(
        "tailfuse-fusion",
        "Fusion",
        "Fusion weight of each modality, against its reference on the bundle's evaluated rows.",
        [at_a_glance(), all_modalities(), inputs(), answers(), each_modality()],
        [make_label_variable("modality", 'tailfuse_modality_present_total{model=~"$model"}')],
    )


def at_a_glance() -> Row:
    """Return the row that says whether a modality is corrupted."""
    drift = total(select("tailfuse_input_drift"), "modality", "max")
    return row(
        "Is a modality corrupted?",
        states(
            "Weight against its reference",
            "Mean fusion weight in samples with several modalities, divided by its mean on the "
            "bundle's evaluated rows. Red is below a quarter: the model hardly uses the "
            "modality. Check its sensor and its row below.",
            range_query(weight_health(), "{{modality}}"),
            HEALTH,
        ),
        states(
            "Presence against its reference",
            "Share of samples with the modality, divided by its share on the evaluated rows. Red: "
            "the modality is mostly missing; check the clients.",
            range_query(presence_health(), "{{modality}}"),
            HEALTH,
        ),
        states(
            "Worst input drift",
            "Highest population stability index of the modality's inputs over the service's drift "
            "window. Above 0.25 the distribution differs from the evaluated rows. Requires 200 rows.",
            range_query(drift, "{{modality}}"),
            PSI,
            unit="short",
        ),
    )


def all_modalities() -> Row:
    """Return the row that compares the modalities."""
    return row(
        "All modalities",
        lines(
            "Fusion weight",
            "Mean weight where the modality is present. Weights of a sample sum to 1, so a falling "
            "weight raises the others. Each modality's row below shows the reference.",
            range_query(mean(WEIGHT, "modality"), "{{modality}}"),
            unit="percentunit",
        ).max(1),
        lines(
            "Confidence",
            "Mean probability, estimated by the model, that the prediction from this modality alone "
            "is correct. It falls before accuracy can be measured.",
            range_query(mean(CONFIDENCE, "modality"), "{{modality}}"),
            unit="percentunit",
        ).max(1),
        lines(
            "Presence",
            "Share of samples with the modality. If it falls, check the clients.",
            range_query(f"max by (modality) ({presence()})", "{{modality}}"),
            unit="percentunit",
        ).max(1),
    )


def inputs() -> Row:
    """Return the row of input drift."""
    failed, came = "tailfuse_decode_failures_total", "tailfuse_modality_present_total"
    failures = rate(failed, "modality")
    drift = f"max_over_time({select('tailfuse_input_drift')}[$__range])"
    worst = total(drift, "modality,input", "max")
    return row(
        "Inputs",
        lines(
            "Samples by subset",
            "Samples per second by subset of modalities. A new subset means a changed client or a "
            "missing sensor.",
            range_query(rate("tailfuse_samples_total", "subset"), "{{subset}}"),
            unit="cps",
            stacked=True,
        ),
        lines(
            "Decode failures",
            "Share of the modality's values that could not be decoded. TailfuseDecodeFailures fires "
            "above 5 %. The 422 answers contain the reason.",
            range_query(f"{failures} / ({failures} + {rate(came, 'modality')})", "{{modality}}"),
            unit="percentunit",
            steps=((None, GOOD), (0.05, BAD)),
        ).axis_soft_max(0.1),
        ranking(
            "Inputs that drifted most",
            "Highest population stability index of single inputs in the time range: up to 0.1 is "
            "unchanged, above 0.25 is another distribution. For images, inputs are brightness, "
            "contrast and detail.",
            instant_query(f"sort_desc(topk(10, {worst}))", "{{modality}}: {{input}}"),
            PSI,
        ),
        lines(
            "Weight drift",
            "Population stability index of the fusion weights against the evaluated rows. It "
            "compares whole distributions, even if the mean is unchanged.",
            range_query(total(select("tailfuse_weight_drift"), "modality", "max"), "{{modality}}"),
            steps=PSI,
            span=12,
        ),
        lines(
            "Rows in the drift window",
            "Rows in the drift window. Drift is not computed below 200.",
            range_query(total(select("tailfuse_drift_rows"), "modality"), "{{modality}}"),
            steps=((None, GOOD), (200, WARN)),
            span=12,
        ),
    )


def answers() -> Row:
    """Return the row of the answers."""
    return row(
        "Predictions",
        average_and_p90(
            "Expert disagreement",
            "tailfuse_expert_disagreement",
            "Divergence in bits between the predictions of the single modalities. If it rises with "
            "steady weights, a modality is confidently wrong. Older bundles do not report it.",
            "suffix: bit",
        ),
        average_and_p90(
            "Conflict",
            "tailfuse_conflict",
            "Probability that the values of a modality belong to another sample than those of the others, of "
            "samples with two or more modalities. A rise means that records are mixed up. Older bundles do "
            "not report it.",
            "percentunit",
        ),
        average_and_p90(
            "Entropy",
            "tailfuse_entropy",
            "Normalised entropy of the predictions: 0 is a certain class, 1 is a uniform "
            "distribution. A rise means inputs unlike the training data.",
            "percentunit",
        ),
    )


def average_and_p90(title: str, histogram: str, description: str, unit: str) -> timeseries.Panel:
    """Return the queries of the mean and the 90th percentile."""
    return lines(
        title,
        description,
        range_query(mean(histogram), "mean"),
        range_query(quantile(0.9, histogram), "p90"),
        unit=unit,
        span=8,
    )


def each_modality() -> Row:
    """Return the row that repeats for each modality."""
    return row_for_each(
        "modality",
        "Modality: $modality",
        compare_with_reference("Weight of $modality", WEIGHT, "tailfuse_reference_weight"),
        heat_map(
            "Weights of $modality",
            "Distribution of all weights. A second band at low weights means that $modality is "
            "corrupted for some clients.",
            rate(f"{WEIGHT}_bucket", "le", THIS),
        ),
        compare_with_reference("Confidence of $modality", CONFIDENCE, "tailfuse_reference_confidence"),
    )


def compare_with_reference(title: str, histogram: str, reference: str) -> timeseries.Panel:
    """Return a panel of mean and quantiles with the reference."""
    panel = lines(
        title,
        "Mean, the band from the 10th to the 90th percentile, and the mean on the bundle's evaluated "
        "rows (dashed).",
        range_query(quantile(0.9, histogram, where=THIS), "p90"),
        range_query(mean(histogram, where=THIS), "$modality"),
        range_query(quantile(0.1, histogram, where=THIS), "p10"),
        range_query(f"max({select(reference, THIS)})", "reference"),
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
