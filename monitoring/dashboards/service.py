"""Is the service well? Rate, errors and duration of requests, and where their time goes."""

from grafana_foundation_sdk.builders import timeseries
from grafana_foundation_sdk.models.dashboard import Dashboard

from monitoring.dashboards.frame import Row, framed, row
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
    over_time,
    states,
    value,
)
from monitoring.dashboards.promql import ANSWERS, SINGLE, mean, modality_health, quantile, rate, select, total

REQUESTS, SECONDS, STAGES = "tailfuse_requests_total", "tailfuse_request_seconds", "tailfuse_stage_seconds"


def errors(by: str = "") -> str:
    """Share of the requests that the service answered with its own fault; 0 where there was none."""
    failed, all_of_them = rate(REQUESTS, by, f'{ANSWERS},status=~"5.."'), rate(REQUESTS, by, ANSWERS)
    return f"({failed} or 0 * {all_of_them}) / {all_of_them}"


def service() -> Dashboard:
    return framed(
        "tailfuse-service",
        "Service",
        "Rate, errors and duration of requests, the stages that their time goes to, and the processes.",
        [at_a_glance(), requests(), time(), batching(), processes()],
    )


def at_a_glance() -> Row:
    return row(
        "At a glance",
        number(
            "Not ready",
            "Instances that cannot answer: down, starting, stopping or without a usable bundle. "
            "Read their log; TailfuseNotReady fires after two minutes.",
            over_time(f"count({select('up')} == 0 or {select('tailfuse_ready')} == 0) or vector(0)"),
            steps=((None, GOOD), (1, BAD)),
            filled=True,
        ),
        number(
            "Requests",
            "Predictions asked for a second, batches counted once.",
            over_time(rate(REQUESTS, where=ANSWERS)),
            unit="reqps",
        ),
        number(
            "Errors",
            "Share of the predictions answered with 5xx: the service's own fault. Its log has "
            "the cause of each.",
            over_time(errors()),
            unit="percentunit",
            steps=((None, GOOD), (0.001, WARN), (0.01, BAD)),
        ),
        number(
            "Duration p99",
            "99 of 100 single predictions were faster. Look at the stages below for where the time goes.",
            over_time(quantile(0.99, SECONDS, where=SINGLE)),
            unit="s",
            steps=((None, GOOD), (0.1, WARN), (0.5, BAD)),
        ),
        number(
            "Waiting",
            "Samples in the queue, over all instances. Above a batch or two for long: add "
            "instances or threads.",
            over_time(total(select("tailfuse_queue_depth"))),
            steps=((None, GOOD), (64, WARN), (512, BAD)),
        ),
        states(
            "Modalities",
            "Fusion weight and presence against their references, the worse of both. Red: under "
            "a quarter; Fusion shows which.",
            over_time(modality_health(), "{{modality}}"),
            HEALTH,
            span=9,
            height=4,
        ),
    )


def requests() -> Row:
    return row(
        "Requests",
        lines(
            "Rate by route",
            "What is asked for. A sudden fall is a caller's trouble or a network's.",
            over_time(rate(REQUESTS, "route"), "{{route}}"),
            unit="reqps",
        ),
        by_status(
            lines(
                "Rate by status",
                "2xx are answers, 4xx callers' mistakes (422) or too much at once (429), 5xx "
                "our own; 499 hung up before the answer.",
                over_time(rate(REQUESTS, "status"), "{{status}}"),
                unit="reqps",
                stacked=True,
            )
        ),
        lines(
            "Error share by route",
            "Share of 5xx. TailfuseErrors fires above 1 %.",
            over_time(errors("route"), "{{route}}"),
            unit="percentunit",
            steps=((None, GOOD), (0.01, BAD)),
        ).axis_soft_max(0.02),
        lines(
            "Duration of a prediction",
            "Quantiles of single predictions. p99 far above p50: waiting, or a few large pictures.",
            *(over_time(quantile(q, SECONDS, where=SINGLE), f"p{100 * q:.0f}") for q in (0.5, 0.9, 0.99)),
            unit="s",
            steps=((None, GOOD), (0.5, BAD)),
        )
        .override_by_name("p50", [colour("blue")])
        .override_by_name("p90", [colour("yellow")])
        .override_by_name("p99", [colour("red")]),
        lines(
            "p99 by route",
            "A batch takes as long as its caller made it; the others should be flat.",
            over_time(quantile(0.99, SECONDS, "route"), "{{route}}"),
            unit="s",
        ),
        heat_map(
            "Durations",
            "How long predictions took: two bands are two kinds of request, with and without pictures.",
            rate(f"{SECONDS}_bucket", "le", ANSWERS),
            unit="s",
        ),
    )


def by_status(panel: timeseries.Panel) -> timeseries.Panel:
    """Statuses in the colours of their hundreds."""
    for hundreds, name in (("2..", "green"), ("4..", "orange"), ("499", FAINT), ("5..", "red")):
        panel = panel.override_by_regexp(f"/^{hundreds}$/", [colour(name)])
    return panel


def time() -> Row:
    return row(
        "Where the time goes",
        lines(
            "Mean time by stage",
            "decode: values become arrays; queue: waiting for a run; run: the graph; encode: "
            "the answer becomes bytes. A run answers a whole batch.",
            over_time(mean(STAGES, "stage"), "{{stage}}"),
            unit="s",
            stacked=True,
            span=12,
        ),
        lines(
            "p99 by stage",
            "decode grows with the size of pictures, queue with load, run with batch and model.",
            over_time(quantile(0.99, STAGES, "stage"), "{{stage}}"),
            unit="s",
            span=12,
        ),
    )


def batching() -> Row:
    return row(
        "Batching and refusals",
        lines(
            "Batch size",
            "Samples in one run. Near the limit (TAILFUSE_MAX_BATCH_SIZE) the service is at its capacity.",
            over_time(mean("tailfuse_batch_size"), "mean"),
            over_time(quantile(0.95, "tailfuse_batch_size"), "p95"),
        ),
        lines(
            "Waiting and in flight",
            "Samples in the queue, and requests not answered yet. Both rise together when more "
            "comes than can be answered.",
            over_time(total(select("tailfuse_queue_depth")), "queue"),
            over_time(total(select("tailfuse_requests_in_flight")), "in flight"),
        ),
        lines(
            "Refused by reason",
            "overloaded and too-many-requests: too much at once (429), add instances. The rest "
            "are callers' mistakes, which they are told of.",
            over_time(rate("tailfuse_rejected_total", "reason"), "{{reason}}"),
            unit="reqps",
            stacked=True,
        ),
    )


def processes() -> Row:
    return row(
        "Processes",
        lines(
            "CPU, cores",
            "Cores in use by instance. At the number of cores it has, latency follows.",
            over_time(
                total(f"rate({select('process_cpu_seconds_total')}[$__rate_interval])", "instance"),
                "{{instance}}",
            ),
            span=6,
        ).decimals(2),
        lines(
            "Memory",
            "Resident memory by instance. It is flat under load; a steady rise is a leak worth "
            "reporting. A reload needs room for two bundles for a moment.",
            over_time(total(select("process_resident_memory_bytes"), "instance"), "{{instance}}"),
            unit="bytes",
            span=6,
        ),
        lines(
            "GPU memory",
            "Empty without a GPU. Used near total: a smaller batch, or fewer workers.",
            over_time(total(select("tailfuse_gpu_memory_used_bytes"), "instance"), "{{instance}} used"),
            over_time(total(select("tailfuse_gpu_memory_total_bytes"), "instance"), "{{instance}} total"),
            unit="bytes",
            span=6,
        ).override_by_regexp(
            "/ total$/", [colour(FAINT), value("custom.lineStyle", {"fill": "dash", "dash": [8, 8]})]
        ),
        lines(
            "Workers, restarts, reloads",
            "Processes that answer, and how many were replaced or opened their bundle again in "
            "the window. Restarts: read the log for why they died.",
            over_time(total(select("tailfuse_workers")), "workers"),
            over_time(
                f"sum(increase({select('tailfuse_worker_restarts_total')}[$__rate_interval]))", "restarts"
            ),
            over_time(
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
