"""Dashboard of the service: rate, errors and duration of requests, time by stage, and processes."""

from grafana_foundation_sdk.builders import timeseries
from grafana_foundation_sdk.models.dashboard import Dashboard

from monitoring.dashboards.frame import Row, make_dashboard, row
from monitoring.dashboards.levels import service_levels
from monitoring.dashboards.panels import (
    BAD,
    FAINT,
    GOOD,
    HEALTH,
    PLAIN,
    WARN,
    colour,
    heat_map,
    lines,
    number,
    range_query,
    states,
    value,
)
from monitoring.dashboards.promql import ANSWERS, SINGLE, mean, modality_health, quantile, rate, select, total

REQUESTS, SECONDS, STAGES = "tailfuse_requests_total", "tailfuse_request_seconds", "tailfuse_stage_seconds"


def errors(by: str = "") -> str:
    """Return the share of requests answered with 5xx; 0 without any."""
    failed, everything = rate(REQUESTS, by, f'{ANSWERS},status=~"5.."'), rate(REQUESTS, by, ANSWERS)
    return f"({failed} or 0 * {everything}) / {everything}"


def ready() -> str:
    """Return the share of instances that are ready; an instance that is down is not."""
    instances = f"count({select('up')})"
    return f"(sum({select('tailfuse_ready')}) or 0 * {instances}) / {instances}"


def service() -> Dashboard:
    """Return the dashboard of the service."""
    return make_dashboard(
        "tailfuse-service",
        "Service",
        "Rate, errors and duration of requests, time by stage, and processes.",
        [at_a_glance(), service_levels(), requests(), time(), batching(), processes()],
    )


def at_a_glance() -> Row:
    """Return the row of availability, load and latency."""
    return row(
        "At a glance",
        number(
            "Ready",
            "Share of instances that can answer. The others are down, starting, stopping, or without a "
            "usable bundle: see their logs; TailfuseNotReady fires after two minutes. Empty if Prometheus "
            "has no instance at all.",
            range_query(ready()),
            unit="percentunit",
            steps=((None, BAD), (0.5, WARN), (1, GOOD)),
            filled=True,
        ),
        number(
            "Requests",
            "Prediction requests per second; a batch counts once.",
            range_query(rate(REQUESTS, where=ANSWERS)),
            unit="reqps",
        ),
        number(
            "Errors",
            "Share of prediction requests answered with 5xx. The service logs the cause of each.",
            range_query(errors()),
            unit="percentunit",
            steps=((None, GOOD), (0.001, WARN), (0.01, BAD)),
        ),
        number(
            "Duration p99",
            "99th percentile of single predictions. The stages below show where the time is spent.",
            range_query(quantile(0.99, SECONDS, where=SINGLE)),
            unit="s",
            steps=((None, GOOD), (0.1, WARN), (0.5, BAD)),
        ),
        number(
            "Waiting",
            "Samples in the queues of all instances. If it stays above two batches, add instances or "
            "threads.",
            range_query(total(select("tailfuse_queue_depth"))),
            steps=((None, GOOD), (64, WARN), (512, BAD)),
        ),
        states(
            "Modalities",
            "Fusion weight and presence divided by their references, the lower of both. Red is below "
            "a quarter; the Fusion dashboard shows which.",
            range_query(modality_health(), "{{modality}}"),
            HEALTH,
            span=9,
            height=4,
        ),
    )


def requests() -> Row:
    """Return the row of requests and problems."""
    return row(
        "Requests",
        lines(
            "Rate by route",
            "Requests per second by route. A sudden fall points to a client or the network.",
            range_query(rate(REQUESTS, "route"), "{{route}}"),
            unit="reqps",
        ),
        by_status(
            lines(
                "Rate by status",
                "2xx are answers, 4xx invalid requests (422) or overload (429), 5xx errors of the "
                "service; 499: the client disconnected.",
                range_query(rate(REQUESTS, "status"), "{{status}}"),
                unit="reqps",
                stacked=True,
            )
        ),
        lines(
            "Error share by route",
            "Share of 5xx. TailfuseErrors fires above 1 %.",
            range_query(errors("route"), "{{route}}"),
            unit="percentunit",
            steps=((None, GOOD), (0.01, BAD)),
        ).axis_soft_max(0.02),
        lines(
            "Duration of a prediction",
            "Quantiles of single predictions. p99 far above p50 points to queueing or large images.",
            *(range_query(quantile(q, SECONDS, where=SINGLE), f"p{100 * q:.0f}") for q in (0.5, 0.9, 0.99)),
            unit="s",
            steps=((None, GOOD), (0.5, BAD)),
        )
        .override_by_name("p50", [colour("blue")])
        .override_by_name("p90", [colour("yellow")])
        .override_by_name("p99", [colour("red")]),
        lines(
            "p99 by route",
            "The duration of a batch depends on its size; the others should be constant.",
            range_query(quantile(0.99, SECONDS, "route"), "{{route}}"),
            unit="s",
        ),
        heat_map(
            "Durations",
            "Distribution of durations. Two bands mean two kinds of request, such as with and "
            "without images.",
            rate(f"{SECONDS}_bucket", "le", ANSWERS),
            unit="s",
        ),
    )


def by_status(panel: timeseries.Panel) -> timeseries.Panel:
    """Colour statuses by their class."""
    for hundreds, name in (("2..", "green"), ("4..", "orange"), ("499", FAINT), ("5..", "red")):
        panel = panel.override_by_regexp(f"/^{hundreds}$/", [colour(name)])
    return panel


def time() -> Row:
    """Return the row of where time is spent."""
    return row(
        "Time by stage",
        lines(
            "Mean time by stage",
            "decode: values to arrays; queue: wait for a batch; run: the graph on a batch; encode: "
            "the answer to bytes.",
            range_query(mean(STAGES, "stage"), "{{stage}}"),
            unit="s",
            stacked=True,
            span=12,
        ),
        lines(
            "p99 by stage",
            "decode grows with the size of images, queue with load, run with batch and model.",
            range_query(quantile(0.99, STAGES, "stage"), "{{stage}}"),
            unit="s",
            span=12,
        ),
    )


def batching() -> Row:
    """Return the row of batches and the queue."""
    return row(
        "Batching and refusals",
        lines(
            "Batch size",
            "Samples per batch. Near the limit (TAILFUSE_MAX_BATCH_SIZE) the service is at its capacity.",
            range_query(mean("tailfuse_batch_size"), "mean"),
            range_query(quantile(0.95, "tailfuse_batch_size"), "p95"),
        ),
        lines(
            "Waiting and in flight",
            "Samples in the queue, and requests in progress. Both rise when the load exceeds the capacity.",
            range_query(total(select("tailfuse_queue_depth")), "queue"),
            range_query(total(select("tailfuse_requests_in_flight")), "in flight"),
        ),
        lines(
            "Refused by reason",
            "overloaded and too-many-requests (429): add instances. Other reasons are invalid "
            "requests; the answers name the error.",
            range_query(rate("tailfuse_rejected_total", "reason"), "{{reason}}"),
            unit="reqps",
            stacked=True,
        ),
    )


def processes() -> Row:
    """Return the row of workers, memory and CPU."""
    return row(
        "Processes",
        lines(
            "CPU, cores",
            "CPU cores in use by instance. At the number of available cores, latency rises.",
            range_query(
                total(f"rate({select('process_cpu_seconds_total')}[$__rate_interval])", "instance"),
                "{{instance}}",
            ),
            span=6,
        ).decimals(2),
        lines(
            "Memory",
            "Resident memory by instance. It is constant under load; report a steady rise as a leak. "
            "A reload briefly needs memory for two bundles.",
            range_query(total(select("process_resident_memory_bytes"), "instance"), "{{instance}}"),
            unit="bytes",
            span=6,
        ),
        lines(
            "GPU memory",
            "Empty without a GPU. If used is near total, reduce the batch size or the workers.",
            range_query(total(select("tailfuse_gpu_memory_used_bytes"), "instance"), "{{instance}} used"),
            range_query(total(select("tailfuse_gpu_memory_total_bytes"), "instance"), "{{instance}} total"),
            unit="bytes",
            span=6,
        ).override_by_regexp(
            "/ total$/", [colour(FAINT), value("custom.lineStyle", {"fill": "dash", "dash": [8, 8]})]
        ),
        lines(
            "Workers, restarts, reloads",
            "Worker processes, and restarts and reloads in the window. The log contains the cause of "
            "a restart.",
            range_query(total(select("tailfuse_workers")), "workers"),
            range_query(
                f"sum(increase({select('tailfuse_worker_restarts_total')}[$__rate_interval]))", "restarts"
            ),
            range_query(
                f"sum by (outcome) (increase({select('tailfuse_reloads_total')}[$__rate_interval]))",
                "reload {{outcome}}",
            ),
            span=6,
        )
        .decimals(0)
        .override_by_name("workers", [colour(PLAIN)])
        .override_by_name("restarts", [colour("red")])
        .override_by_name("reload failed", [colour("orange")])
        .override_by_name("reload ok", [colour("green")]),
    )
