"""A table of short reviews and numbers, whose classes show in both."""

import random
from pathlib import Path

import polars as pl

SPEC = """\
name: reviews
table: table.csv
label: kind
split: {val: 0.2, test: 0.2}
modalities:
  review: {kind: text, columns: review}
  size: {kind: tabular, columns: [a, b]}
network: {width: 16}
training: {epochs: 12, batch_size: 32, folds: 2}
"""
WORDS = {
    "dress": "lovely floral hem waist flows skirt sleeves summer wedding flattering",
    "shoe": "heel leather sole comfortable walking laces toe ankle narrow sturdy",
    "hat": "brim straw sun shade felt head wool ribbon travel packable",
}
COMMON = tuple("the and it is very i bought this for my in a fits runs small large nice was too".split())  # noqa: SIM905


def write_reviews(folder: Path, rows: int = 240, seed: int = 0) -> Path:
    """Write the table and its spec into a folder, and return the path of the spec."""
    chance = random.Random(seed)
    kinds = [chance.choice(list(WORDS)) for _ in range(rows)]
    reviews = [make_review(kind, chance) for kind in kinds]
    numbers = [[chance.gauss(list(WORDS).index(kind) * (at - 0.5), 1.0) for kind in kinds] for at in range(2)]
    pl.DataFrame({"kind": kinds, "review": reviews, "a": numbers[0], "b": numbers[1]}).write_csv(
        folder / "table.csv"
    )
    (folder / "spec.yaml").write_text(SPEC)
    return folder / "spec.yaml"


def make_review(kind: str, chance: random.Random) -> str:
    """Make a text of common words, some of a kind's own, and one that no other text has."""
    words = [chance.choice(COMMON) for _ in range(10)] + chance.sample(WORDS[kind].split(), 3)
    chance.shuffle(words)
    return " ".join([*words, f"order{chance.randrange(10**6)}"])
