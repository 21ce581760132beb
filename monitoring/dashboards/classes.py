"""Dashboard of predicted classes: their frequencies, and whether rare classes are still predicted."""

from grafana_foundation_sdk.models.dashboard import Dashboard

from monitoring.dashboards.frame import Row, make_dashboard, make_window_variable, row
from monitoring.dashboards.panels import (
    BAD,
    FEW,
    GOOD,
    MANY,
    MEDIUM,
    PLAIN,
    PSI,
    WARN,
    colour,
    grid,
    instant_query,
    lines,
    number,
    range_query,
    ranking,
    step_list,
    table_query,
    value,
)
from monitoring.dashboards.promql import (
    BUNDLE,
    class_drift,
    class_shares,
    increase,
    psi,
    rate,
    select,
    shot_shares,
    total,
    training_shares,
)

WINDOW = "$window"
PREDICTIONS, PROBABILITY = "tailfuse_predictions_total", "tailfuse_probability_total"
SHOT_IS_FEW = 'shot="few"'
SHOTS = {"many": MANY, "medium": MEDIUM, "few": FEW}


def classes() -> Dashboard:
    """Return the dashboard of the classes."""
    return make_dashboard(
        "tailfuse-classes",
        "Classes",
        "Predictions by class and by number of training rows, against the class frequencies of training.",
        [at_a_glance(), groups(), each_class()],
        [make_window_variable("5m", "15m", "1h", "6h", "1d", current="15m")],
    )


def at_a_glance() -> Row:
    """Return the row of totals and shares of all classes."""
    named = increase(PREDICTIONS, "label")
    return row(
        "At a glance",
        number(
            "Answers",
            "Samples predicted in the time range. With few samples the shares below are noisy.",
            instant_query(increase("tailfuse_samples_total")),
            span=4,
        ),
        number(
            "Classes predicted",
            "Classes predicted at least once in the time range. Classes grouped under one label, "
            "such as other (few), count as one.",
            instant_query(f"count({named} > 0) or vector(0)"),
            span=4,
        ),
        number(
            "Never predicted",
            "Classes without a prediction in the time range. The panel of rarest predictions below "
            "lists them. A class with a share of 0.1 % is expected once in a thousand predictions.",
            instant_query(f"count({named} == 0) or vector(0)"),
            steps=((None, GOOD), (1, WARN)),
            filled=True,
            span=4,
        ),
        number(
            "Few-shot share",
            "Share of predictions of a few-shot class. The panel below shows the share in training. "
            "Near 0, the model no longer recognises rare classes.",
            range_query(f"max({shot_shares(WINDOW, SHOT_IS_FEW)})"),
            unit="percentunit",
            span=6,
        ),
        number(
            "Class drift",
            "Population stability index of the predictions in the window against the day before. "
            "Above 0.25, class frequencies or inputs have changed; see the Fusion dashboard. "
            "TailfuseClassShareDrift tests one hour.",
            range_query(f"max({class_drift(WINDOW)})"),
            steps=PSI,
            span=6,
        ),
    )


def groups() -> Row:
    """Return the row of many-, medium- and few-shot classes."""
    training = f"sum by ({BUNDLE},shot) ({training_shares(f'{BUNDLE},label,shot')})"
    shares = shot_shares(WINDOW)
    groups = lines(
        "Many, medium and few",
        "Share of predictions by number of training rows of their class. A sudden change means other "
        "class frequencies or a corrupted modality; see the Fusion dashboard.",
        range_query(f"max by (shot) ({shares})", "{{shot}}"),
        unit="percentunit",
        stacked=True,
    ).max(1)
    against = lines(
        "Share against training",
        "Share of predictions divided by share of training rows; 1 is equal. If few is near 0, rare "
        "classes are lost. If no group is near 1, class frequencies differ from training.",
        range_query(f"max by (shot) (({shares}) / on ({BUNDLE},shot) {training})", "{{shot}}"),
        steps=((None, GOOD), (1, PLAIN)),
    )
    for shot, name in SHOTS.items():
        groups = groups.override_by_name(shot, [colour(name)])
        against = against.override_by_name(shot, [colour(name)])
    return row(
        "Many, medium and few",
        groups,
        against,
        lines(
            "Class drift by version",
            "Population stability index of the predictions in the window against the day before and "
            "against training. Training data may be thinned, so only changes of the latter matter. "
            "If all versions drift, the inputs have changed; if one does, the model has.",
            range_query(class_drift(WINDOW), "{{version}}: day before"),
            range_query(psi(class_shares(WINDOW), training_shares()), "{{version}}: training"),
            steps=PSI,
        ),
    )


def each_class() -> Row:
    """Return the row with a table of each class."""
    expected = total(select("tailfuse_class_training_share"), "label", "max")
    named = f"max by (label) ({class_shares('$__range')})"
    samples = increase("tailfuse_samples_total")
    probability = f"{increase(PROBABILITY, 'label')} / ignoring (label) group_left () {samples}"
    return row(
        "Each class",
        lines(
            "Predictions by class",
            "Predictions per second by class. If one class replaces the others, see the Fusion "
            "dashboard for a corrupted modality.",
            range_query(rate(PREDICTIONS, "label", window=WINDOW), "{{label}}"),
            unit="cps",
            stacked=True,
        ),
        lines(
            "Mean probability by class",
            "Mean probability of each class. It changes before the predictions do.",
            range_query(
                f"{rate(PROBABILITY, 'label', window=WINDOW)} / ignoring (label) group_left () "
                f"{rate('tailfuse_samples_total', window=WINDOW)}",
                "{{label}}",
            ),
            unit="percentunit",
        ),
        ranking(
            "Rarest predictions",
            "Classes with the fewest predictions in the time range; red is none. A few-shot class "
            "may not have occurred.",
            instant_query(f"sort(bottomk(12, round({increase(PREDICTIONS, 'label')})))", "{{label}}"),
            ((None, BAD), (0.5, PLAIN)),
        ),
        grid(
            "All classes",
            "Select one model above. Ratio is the share of predictions divided by the share in "
            "training. A mean probability far above the share means that the class is often second.",
            table_query(f"max by (label, shot) ({select('tailfuse_class_training_share')})"),
            table_query(named),
            table_query(f"{named} / on (label) {expected}"),
            table_query(probability),
            table_query(f"round({increase(PREDICTIONS, 'label')})"),
            names={
                "label": "Class",
                "shot": "Shots",
                "Value #A": "Training share",
                "Value #B": "Share",
                "Value #C": "Ratio",
                "Value #D": "Mean probability",
                "Value #E": "Answers",
            },
        )
        .override_by_regexp(
            "/share|probability/i",
            [
                value("unit", "percentunit"),
                value("max", 1),
                value("custom.cellOptions", {"type": "gauge", "mode": "basic"}),
            ],
        )
        .override_by_name(
            "Ratio",
            [
                value("decimals", 2),
                value("custom.cellOptions", {"type": "color-text"}),
                value("thresholds", step_list(((None, BAD), (0.1, WARN), (0.25, PLAIN)))),
            ],
        ),
    )
