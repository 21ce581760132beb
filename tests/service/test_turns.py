"""Turns of connections that hold bytes back: one of each address in a turn of the loop."""

import asyncio
from collections.abc import Callable

from tailfuse_service.http.turns import Feed, Turns


class Pipeline:
    """A connection with so many requests; each turn takes one, and the next one is asked for at once."""

    def __init__(self, turns: Turns, address: str, n_requests: int, log: list[str]) -> None:
        self._turns, self._address, self._left, self._log = turns, address, n_requests, log
        self.feed: Feed = self._take
        turns.ask(address, self.feed)

    def _take(self) -> None:
        self._log.append(self._address)
        self._left -= 1
        if self._left:
            self._turns.ask(self._address, self.feed)


def play(begin: Callable[[Turns, list[str]], None], n_turns: int) -> list[list[str]]:
    """Return which addresses each turn of the loop has served."""

    async def scenario() -> list[list[str]]:
        log: list[str] = []
        served = []
        begin(Turns(), log)
        for _ in range(n_turns):
            log.clear()
            await asyncio.sleep(0)
            served.append(list(log))
        return served

    return asyncio.run(scenario())


def test_a_turn_takes_one_request_of_a_client_however_many_connections_it_has() -> None:
    def begin(turns: Turns, log: list[str]) -> None:
        for _ in range(50):
            Pipeline(turns, "many", 10, log)
        Pipeline(turns, "one", 2, log)

    assert play(begin, 4) == [["many", "one"], ["many", "one"], ["many"], ["many"]]


def test_the_connections_of_a_client_take_turns() -> None:
    def begin(turns: Turns, log: list[str]) -> None:
        for name in "abc":
            feeds[name] = name_feed(turns, name, log)
            turns.ask("client", feeds[name])

    feeds: dict[str, Feed] = {}
    assert play(begin, 5) == [["a"], ["b"], ["c"], ["a"], ["b"]]


def name_feed(turns: Turns, name: str, log: list[str]) -> Feed:
    """Return a feed that writes its name and asks again."""

    def feed() -> None:
        log.append(name)
        turns.ask("client", feed)

    return feed


def test_asking_twice_gives_one_turn() -> None:
    def begin(turns: Turns, log: list[str]) -> None:
        def feed() -> None:
            log.append("client")

        turns.ask("client", feed)
        turns.ask("client", feed)

    assert play(begin, 2) == [["client"], []]


def test_who_withdraws_has_no_turn_and_nothing_is_kept() -> None:
    kept: list[Turns] = []

    def begin(turns: Turns, log: list[str]) -> None:
        kept.append(turns)

        def second() -> None:
            log.append("second")

        def first() -> None:
            log.append("first")
            turns.withdraw("b", second)  # in the same turn
            turns.withdraw("never asked", second)

        turns.ask("a", first)
        turns.ask("b", second)

    assert play(begin, 2) == [["first"], []]
    assert kept[0]._waiting == {}
