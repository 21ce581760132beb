"""Row of the service levels: availability and latency, and how fast their budgets are spent."""

from grafana_foundation_sdk.builders import stat, timeseries

from monitoring.dashboards.frame import Row, row
from monitoring.dashboards.panels import BAD, GOOD, WARN, Query, instant_query, lines, number, range_query
from monitoring.dashboards.promql import ANSWERS, SINGLE, increase, rate

# The objectives of monitoring/prometheus, over 30 days.
AVAILABILITY, FAST, LIMIT_S = 0.999, 0.99, 0.5
WINDOWS = ("5m", "1h", "6h")
TOO_FAST = ((None, GOOD), (1, WARN), (6, WARN), (14.4, BAD))  # multiples of what the level allows

REQUESTS, BUCKETS = "tailfuse_requests_total", "tailfuse_request_seconds_bucket"
FAILED = f'{ANSWERS},status=~"5.."'
IN_TIME, ALL_SINGLE = f'{SINGLE},le="{LIMIT_S}"', f'{SINGLE},le="+Inf"'


def failed_share(window: str) -> str:
    """Return the share of predictions that failed in a window; 0 if none did."""
    requests = rate(REQUESTS, where=ANSWERS, window=window)
    return f"({rate(REQUESTS, where=FAILED, window=window)} or 0 * {requests}) / {requests}"


def slow_share(window: str) -> str:
    """Return the share of single predictions above the limit in a window."""
    fast, single = (rate(BUCKETS, where=where, window=window) for where in (IN_TIME, ALL_SINGLE))
    return f"1 - {fast} / {single}"


def service_levels() -> Row:
    """Return the row of availability and latency against their objectives."""
    failed = f"({increase(REQUESTS, where=FAILED)} or 0 * {increase(REQUESTS, where=ANSWERS)})"
    availability = f"1 - {failed} / {increase(REQUESTS, where=ANSWERS)}"
    in_time = f"{increase(BUCKETS, where=IN_TIME)} / {increase(BUCKETS, where=ALL_SINGLE)}"
    return row(
        "Service levels",
        level(
            "Availability",
            "Share of predictions in the time range that were answered without an error of the service "
            "(5xx). The objective is 99.9 %.",
            availability,
            AVAILABILITY,
        ),
        level(
            "Within half a second",
            "Share of single predictions in the time range that took at most half a second. The objective "
            "is 99 %.",
            in_time,
            FAST,
        ),
        burn_rates(
            "Burn rate: errors",
            "How many times faster than allowed the error budget of 0.1 % is spent. "
            "TailfuseErrorBudgetFast fires at 14.4 over 1 h, or 6 over 6 h.",
            *(range_query(f"({failed_share(w)}) / {1 - AVAILABILITY:.3f}", w) for w in WINDOWS),
        ),
        burn_rates(
            "Burn rate: slow answers",
            "How many times faster than allowed the latency budget of 1 % is spent. "
            "TailfuseLatencyBudgetFast fires at 14.4 over 1 h, or 6 over 6 h.",
            *(range_query(f"({slow_share(w)}) / {1 - FAST:.2f}", w) for w in WINDOWS),
        ),
    )


def level(title: str, description: str, expr: str, objective: float) -> stat.Panel:
    """Return a panel of a share in the time range, red below its objective."""
    steps = ((None, BAD), (objective, GOOD))
    panel = number(title, description, instant_query(expr), unit="percentunit", span=4, height=8, steps=steps)
    return panel.decimals(2)


def burn_rates(title: str, description: str, *queries: Query) -> timeseries.Panel:
    """Return a panel of burn rates over several windows."""
    return lines(title, description, *queries, span=8, steps=TOO_FAST)
