"""PromQL expressions of the dashboards. Metric names are those of docs/reference/metrics.md."""

WINDOW = "$__rate_interval"
BUNDLE = "model,version"
PROCESS_WIDE = (  # families labelled by instance, but not by model and version
    "process_",
    "tailfuse_batch_size",
    "tailfuse_gpu_",
    "tailfuse_queue_depth",
    "tailfuse_ready",
    "tailfuse_rejected",
    "tailfuse_reloads",
    "tailfuse_request",
    "tailfuse_stage_seconds",
    "tailfuse_worker",
    "up",
)
ANSWERS = 'route=~".*/predict(/batch)?|.*[iI]nfer"'  # predictions in any protocol, without probes
SINGLE = 'route=~".*/predict"'  # the duration of a batch depends on its size


def select(metric: str, where: str = "") -> str:
    """Select the series of a metric by the dashboard's variables; `where` adds matchers."""
    chosen = ['instance=~"$instance"']
    if not metric.startswith(PROCESS_WIDE):
        chosen = ['model=~"$model"', 'version=~"$version"', *chosen]
    return f"{metric}{{{','.join([*chosen, where] if where else chosen)}}}"


def total(expr: str, by: str = "", how: str = "sum") -> str:
    """Aggregate by labels, or over all series."""
    return f"{how} by ({by}) ({expr})" if by else f"{how}({expr})"


def rate(metric: str, by: str = "", where: str = "", window: str = WINDOW) -> str:
    """Return events per second."""
    return total(f"rate({select(metric, where)}[{window}])", by)


def increase(metric: str, by: str = "", where: str = "", window: str = "$__range", offset: str = "") -> str:
    """Return events in the window (default: the time range); `offset` is the time since its end."""
    ago = f" offset {offset}" if offset else ""
    return total(f"increase({select(metric, where)}[{window}]{ago})", by)


def mean(histogram: str, by: str = "", where: str = "", window: str = WINDOW) -> str:
    """Return the mean of a histogram."""
    return f"{rate(f'{histogram}_sum', by, where, window)} / {rate(f'{histogram}_count', by, where, window)}"


def quantile(q: float, histogram: str, by: str = "", where: str = "") -> str:
    """Return a quantile of a histogram."""
    return f"histogram_quantile({q}, {rate(f'{histogram}_bucket', f'{by},le' if by else 'le', where)})"


def share(part: str, whole: str, by: str) -> str:
    """Divide each series of `part` by the series of `whole` with the same labels `by`."""
    return f"({part}) / on ({by}) group_left () ({whole})"


def presence() -> str:
    """Return the share of samples with a modality, by bundle and modality.

    Both rates are extrapolated, each by its own scrapes, so their quotient may be a little above 1.
    """
    present = rate("tailfuse_modality_present_total", f"{BUNDLE},modality")
    return f"clamp_max({share(present, rate('tailfuse_samples_total', BUNDLE), BUNDLE)}, 1)"


def against_reference(observed: str, reference: str) -> str:
    """Divide by the reference on the bundle's evaluated rows; return the minimum over bundles by modality."""
    by = f"{BUNDLE},modality"
    return f"min by (modality) (({observed}) / on ({by}) {total(select(reference), by, 'max')})"


def alone(window: str = WINDOW) -> str:
    """Return samples per second with this modality only: their weight is 1 even if it is corrupted."""
    single = select("tailfuse_samples_total", 'subset!~".*[+].*"')
    samples = f"rate({single}[{window}])"
    named = f'label_replace({samples}, "modality", "$1", "subset", "(.*)")'
    by = f"{BUNDLE},modality"
    return f"({total(named, by)} or 0 * {rate('tailfuse_modality_present_total', by, window=window)})"


def weight_health() -> str:
    """Return the mean fusion weight in samples with several modalities, divided by its reference."""
    by = f"{BUNDLE},modality"
    weights, rows = (rate(f"tailfuse_fusion_weight_{part}", by) for part in ("sum", "count"))
    return against_reference(f"({weights} - {alone()}) / ({rows} - {alone()})", "tailfuse_reference_weight")


def presence_health() -> str:
    """Return presence divided by its reference, 1 at most; 0 means that the modality is missing."""
    return f"clamp_max({against_reference(presence(), 'tailfuse_reference_presence')}, 1)"


def modality_health() -> str:
    """Return the lower of weight and presence, divided by their references, by modality."""
    both = {"weight": weight_health(), "presence": presence_health()}
    named = (f'label_replace({expr}, "of", "{of}", "", "")' for of, expr in both.items())
    return f"min by (modality) ({' or '.join(named)})"


def class_shares(window: str, offset: str = "") -> str:
    """Return the share of predictions of a class, by bundle and label."""
    named, answers = (
        increase("tailfuse_predictions_total", by, window=window, offset=offset)
        for by in (f"{BUNDLE},label", BUNDLE)
    )
    return share(named, answers, BUNDLE)


def training_shares(by: str = f"{BUNDLE},label", where: str = "") -> str:
    """Return the share of training rows of a class."""
    return total(select("tailfuse_class_training_share", where), by, "max")


def shot_shares(window: str, where: str = "") -> str:
    """Return the share of predictions of many-, medium- or few-shot classes, by bundle and shot."""
    shot = f"({training_shares(f'{BUNDLE},label,shot', where)} >= bool 0)"  # 1, with the class's shot
    named = increase("tailfuse_predictions_total", f"{BUNDLE},label", window=window)
    parts = f"sum by ({BUNDLE},shot) ({named} * on ({BUNDLE},label) group_right () {shot})"
    return share(parts, increase("tailfuse_predictions_total", BUNDLE, window=window), BUNDLE)


def psi(now: str, then: str) -> str:
    """Return the population stability index of two label distributions; shares are at least 0.0001."""
    now, then, on = f"clamp_min({now}, 0.0001)", f"clamp_min({then}, 0.0001)", f"on ({BUNDLE},label)"
    return f"sum by ({BUNDLE}) (({now} - {on} {then}) * {on} ln({now} / {on} {then}))"


def class_drift(window: str) -> str:
    """Return the drift of classes in the window against the day before, if both have 100 predictions."""
    lots = (("1d", window), (window, ""))
    enough = (
        increase("tailfuse_predictions_total", BUNDLE, window=length, offset=ago) for length, ago in lots
    )
    drift = psi(class_shares(window), class_shares("1d", offset=window))
    return f"{drift} and {' and '.join(f'{answers} >= 100' for answers in enough)}"
