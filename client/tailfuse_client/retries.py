"""Retries: which requests are sent again, and after which pause."""

import random
import time
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

import httpx2

TIMEOUT_S = 40.0  # longer than the service's own time-out
DEADLINE_S = 120.0
RETRIES = 4
MIN_PAUSE_S, MAX_PAUSE_S = 0.1, 5.0
RETRIED_STATUSES = (429, 503)  # overloaded, or not ready
# No connection, or a broken one. Predictions change no state, so a repeated request is harmless.
CONNECTION_ERRORS = (httpx2.NetworkError, httpx2.ConnectTimeout, httpx2.RemoteProtocolError)


@dataclass(frozen=True, slots=True)
class TransportFailure:
    """The request failed without a complete answer; `begun` tells whether an answer had started."""

    error: httpx2.RequestError
    begun: bool


Outcome = httpx2.Response | TransportFailure


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Limits of one call.

    `timeout_s` is for a connection, for sending, and for the next bytes of an answer; `deadline_s` for a call
    with all its attempts and pauses; `retries` is the number of attempts after the initial one.
    """

    timeout_s: float
    deadline_s: float
    retries: int

    def timeout_after(self, spent_s: float) -> float:
        """Return the time-out of an attempt that starts now."""
        return min(self.timeout_s, max(self.deadline_s - spent_s, 0.0))

    def pause(self, outcome: Outcome, tries: int, spent_s: float) -> float | None:
        """Return the seconds until the next attempt, after `tries` of them; None if the outcome is final.

        The pause is that of Retry-After plus a random part of a doubling time, so that clients refused at
        the same time do not return at the same time.
        """
        if tries > self.retries or not is_temporary(outcome):
            return None
        requested = 0.0 if isinstance(outcome, TransportFailure) else parse_retry_after(outcome)
        pause = requested + random.random() * min(MIN_PAUSE_S * 2 ** (tries - 1), MAX_PAUSE_S)
        return pause if spent_s + pause < self.deadline_s else None


def is_temporary(outcome: Outcome) -> bool:
    """Return whether a retry of the request may succeed."""
    if isinstance(outcome, TransportFailure):
        return isinstance(outcome.error, CONNECTION_ERRORS) and not outcome.begun
    return outcome.status_code in RETRIED_STATUSES


def parse_retry_after(response: httpx2.Response) -> float:
    """Parse Retry-After into seconds; a date is relative to the Date header. Return 0 if it is invalid."""
    requested = response.headers.get("retry-after", "")
    if requested.isdecimal():
        return float(requested)
    try:
        retry_time = parsedate_to_datetime(requested).timestamp()
    except ValueError:
        return 0.0
    try:
        now = parsedate_to_datetime(response.headers.get("date", "")).timestamp()
    except ValueError:
        now = time.time()
    return max(retry_time - now, 0.0)
