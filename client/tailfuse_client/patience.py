"""When a request is sent again, and after which pause."""

import random
import time
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

import httpx2

TIMEOUT_S = 40.0  # longer than the service takes to give up
DEADLINE_S = 120.0
RETRIES = 4
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 5.0
PASSING = (429, 503)  # too busy, or not ready yet
# There was no connection, or it broke. A prediction may be asked for twice: nothing is changed by it.
LOST = (httpx2.NetworkError, httpx2.ConnectTimeout, httpx2.RemoteProtocolError)


@dataclass(frozen=True, slots=True)
class Broken:
    """No whole answer; `begun` says whether the beginning of one was there."""

    error: httpx2.RequestError
    begun: bool


Outcome = httpx2.Response | Broken


@dataclass(frozen=True, slots=True)
class Patience:
    """`timeout_s` for a connection, for sending, and for the next bytes of an answer; `deadline_s` for a call
    with all its tries and pauses; `retries` after the first try."""

    timeout_s: float
    deadline_s: float
    retries: int

    def timeout_after(self, spent_s: float) -> float:
        """How long a try that begins now may wait."""
        return min(self.timeout_s, max(self.deadline_s - spent_s, 0.0))

    def pause(self, outcome: Outcome, tries: int, spent_s: float) -> float | None:
        """Seconds until the next try, after `tries` of them; None if the outcome stands.

        What Retry-After says, and on top a random share of a time that doubles: callers who were refused
        together do not come back together.
        """
        if tries > self.retries or not is_passing(outcome):
            return None
        told = 0.0 if isinstance(outcome, Broken) else retry_after(outcome)
        pause = told + random.random() * min(FIRST_PAUSE_S * 2 ** (tries - 1), LONGEST_PAUSE_S)
        return pause if spent_s + pause < self.deadline_s else None


def is_passing(outcome: Outcome) -> bool:
    """Whether the same request may be answered a little later."""
    if isinstance(outcome, Broken):
        return isinstance(outcome.error, LOST) and not outcome.begun
    return outcome.status_code in PASSING


def retry_after(response: httpx2.Response) -> float:
    """The header's seconds; a date is measured from the service's own, as clocks differ. 0 if unreadable."""
    told = response.headers.get("retry-after", "")
    if told.isdecimal():
        return float(told)
    try:
        at = parsedate_to_datetime(told).timestamp()
    except ValueError:
        return 0.0
    try:
        now = parsedate_to_datetime(response.headers.get("date", "")).timestamp()
    except ValueError:
        now = time.time()
    return max(at - now, 0.0)
