"""A table and a spec without random choices: one process and several train the same network."""

from pathlib import Path

import numpy as np
import polars as pl

SPEC = """\
name: exact
table: table.parquet
label: label
modalities:
  columns: {{kind: tabular, columns: "x*"}}
  words: {{kind: text, columns: words}}
network: {{width: 16, dropout: 0, input_dropout: 0}}
training: {{epochs: {epochs}, batch_size: {batch_size}, folds: 2, mixup: 0, modality_dropout: 0}}
"""
WORDS = ("oak", "elm", "ash")


def write_exact_spec(folder: Path, *, rows: int, epochs: int, batch_size: int = 129) -> Path:
    """Write both, and return the spec. Batches of an odd size are shared unequally."""
    random = np.random.default_rng(0)
    labels = random.choice(3, rows, p=[0.6, 0.3, 0.1])
    columns = {f"x{at}": random.normal(size=rows) + (labels == at % 3) for at in range(6)}
    texts = [
        " ".join([*random.choice(WORDS, 3), WORDS[label] if random.random() < 0.7 else "fir"])
        for label in labels
    ]
    table = pl.DataFrame({**columns, "words": texts, "label": [f"class {label}" for label in labels]})
    table.write_parquet(folder / "table.parquet")
    spec = folder / "spec.yaml"
    spec.write_text(SPEC.format(epochs=epochs, batch_size=batch_size))
    return spec
