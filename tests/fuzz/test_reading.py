"""The fuzzer's seeds, which do not need the fuzzer."""

from tests.support.reading import read, seeds


def test_every_seed_is_read_or_refused() -> None:
    found = list(seeds())
    assert {seed[0] for seed in found} == set(range(6))
    for seed in found:
        read(seed)
