"""A camera goes bad in front of a real service: Prometheus' alerts come, reach Alertmanager, and end.

`pytest -s tests/monitoring/test_alerts.py` prints the alerts' lives.
"""

import random
import re
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tailfuse_service.settings import Settings

from tests.support.asking import Inputs
from tests.support.monitoring.alertmanager import Alertmanager, start_alertmanager
from tests.support.monitoring.prometheus import Prometheus
from tests.support.monitoring.traffic import Traffic, encode_png
from tests.support.process import Service, until

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.needs("prometheus", "prometheus-alertmanager")]

MONITORING = Path(__file__).parents[2] / "monitoring"
FACTOR = 30  # by which all times of the rules, and the service's window of drift, are shorter
DURATION = re.compile(r"(\[|\bfor: |\binterval: |\boffset )(\d+)([smhd])\b")
SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}

COLLAPSED, INPUT_DRIFT, WEIGHT_DRIFT = "TailfuseWeightCollapsed", "TailfuseInputDrift", "TailfuseWeightDrift"
Alert = tuple[str, str]  # its name and its modality
Life = list[tuple[float, str]]  # when (Unix seconds) it came into which state
TOLD = {(COLLAPSED, "image"), (INPUT_DRIFT, "image")}
STEP_S = 0.25
WATCHED = 'modality:tailfuse_modality_beside:increase10m{modality="image"} >= 100'
DRIFT_KNOWN = 'modality:tailfuse_input_drift:max{modality="image"}'


def shortened(rules: str) -> str:
    """The same rules with every `for`, window, offset and interval divided by FACTOR."""
    return DURATION.sub(
        lambda found: f"{found[1]}{int(found[2]) * SECONDS[found[3]] * 1000 // FACTOR}ms", rules
    )


@pytest.fixture
def short_rules(tmp_path: Path) -> list[Path]:
    copies = [tmp_path / name for name in ("recording.yml", "alerts.yml")]
    for copy in copies:
        copy.write_text(shortened((MONITORING / "prometheus" / copy.name).read_text()))
    return copies


@pytest.fixture
def alertmanager(tmp_path: Path) -> Iterator[Alertmanager]:
    started = start_alertmanager(MONITORING / "alertmanager" / "alertmanager.yml", tmp_path / "alertmanager")
    yield started
    started.stop()


def healthy(sample: Inputs, chance: random.Random) -> Inputs:
    """All modalities, as the bundle's evaluated rows had them: these are what it is compared with."""
    return sample


def snow(sample: Inputs, chance: random.Random) -> Inputs:
    """The camera shows snow."""
    pixels = np.frombuffer(chance.randbytes(16 * 15), np.uint8).reshape(16, 15)
    return sample | {"image": encode_png(Image.fromarray(pixels))}


def test_times_are_shortened_and_nothing_else() -> None:
    rule = 'for: 10m\nexpr: avg_over_time(a:increase1h{le="5"}[1d] offset 1h) > 30'
    assert shortened(rule) == (
        'for: 20000ms\nexpr: avg_over_time(a:increase1h{le="5"}[2880000ms] offset 120000ms) > 30'
    )


def test_what_alerts_on_rare_events_count_is_there_from_the_start(
    start: Callable[..., Service], scrape: Callable[..., Prometheus]
) -> None:
    prometheus = scrape(start().url)
    until(lambda: prometheus.query("tailfuse_ready == 1"), "the service is scraped")
    at = prometheus.scraped_at()
    for counter in (
        "tailfuse_worker_restarts_total", 'tailfuse_reloads_total{outcome="failed"}',
        'tailfuse_modality_present_total{modality="image"}', 'tailfuse_predictions_total{label="0"}',
        'tailfuse_decode_failures_total{modality="image"}',
    ):  # fmt: skip
        assert prometheus.query(f"{counter} == 0", at), counter


def test_a_camera_that_goes_bad_is_told_of_until_it_is_well(
    start: Callable[..., Service],
    scrape: Callable[..., Prometheus],
    rows: tuple[list[Inputs], list[float]],
    short_rules: list[Path],
    alertmanager: Alertmanager,
) -> None:
    window_s = Settings.model_fields["drift_window_s"].default / FACTOR
    service = start("--drift-window-s", str(window_s))
    prometheus = scrape(service.url, rule_files=short_rules, alertmanager=alertmanager.address)
    marks = {"callers: healthy": time.time()}
    samples, _ = rows
    with Traffic(service.url, samples, mood=healthy) as callers:
        until(lambda: prometheus.query(WATCHED) and prometheus.query(DRIFT_KNOWN), "there is enough to judge")
        settled = time.time() + window_s
        until(lambda: time.time() > settled, "alerts would be pending by now")

        marks["callers: snow"] = snow_at = time.time()
        callers.mood = snow
        until(lambda: firing(prometheus) >= TOLD, "the alerts fire")
        until(lambda: held(alertmanager, "active") >= TOLD, "they arrive")
        marks["Alertmanager: has both"] = time.time()
        until(
            lambda: (WEIGHT_DRIFT, "image") in held(alertmanager, "suppressed"), "what follows is held back"
        )

        marks["callers: healthy again"] = time.time()
        callers.mood = healthy
        until(lambda: not firing(prometheus), "the alerts end")
        until(lambda: not held(alertmanager, "active", "suppressed"), "they are resolved")
        marks["Alertmanager: has none"] = time.time()

    told = lives(prometheus, marks["callers: healthy"])
    print(as_text(told, marks))
    assert set(callers.statuses) == {200}
    assert {alert for alert in told if alert[0] != WEIGHT_DRIFT} == TOLD  # others gain what one loses
    for life in told.values():
        assert life[0][0] > snow_at
        states = [state for _, state in life]
        assert (states[0], states[-1]) == ("pending", "inactive")


def firing(prometheus: Prometheus) -> set[Alert]:
    """What fires of the model's alerts; those of the service depend on the machine's speed."""
    found = prometheus.query('ALERTS{modality!="", alertstate="firing"}')
    return {(each["metric"]["alertname"], each["metric"]["modality"]) for each in found}


def held(alertmanager: Alertmanager, *states: str) -> set[Alert]:
    """What Alertmanager has in one of these states: active, or suppressed by another alert."""
    labels = [each["labels"] for each in alertmanager.alerts() if each["status"]["state"] in states]
    return {(each["alertname"], each["modality"]) for each in labels if "modality" in each}


def lives(prometheus: Prometheus, since: float) -> dict[Alert, Life]:
    """What became of each alert of a modality."""
    end = time.time() + STEP_S  # a step that has seen all
    seen: dict[Alert, dict[int, str]] = {}  # the state by step
    for series in prometheus.query_range('ALERTS{modality!=""}', since, end, STEP_S):
        labels = series["metric"]
        states = seen.setdefault((labels["alertname"], labels["modality"]), {})
        states.update((round((at - since) / STEP_S), labels["alertstate"]) for at, _ in series["values"])
    told = {}
    for alert, states in seen.items():
        steps = [states.get(step, "inactive") for step in range(int((end - since) / STEP_S) + 1)]
        told[alert] = [
            (since + step * STEP_S, now)
            for step, (before, now) in enumerate(pairwise(steps), 1)
            if now != before
        ]
    return told


def as_text(told: dict[Alert, Life], marks: dict[str, float]) -> str:
    """A line for each event, in seconds since the first."""
    events = [(at, what) for what, at in marks.items()]
    events += [(at, f"{' '.join(alert)}: {state}") for alert, life in told.items() for at, state in life]
    return "\n".join(f"{at - min(marks.values()):5.0f} s  {what}" for at, what in sorted(events))
