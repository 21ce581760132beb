"""What the end of a file's name says about the file."""

TEXT_ENDINGS = (".csv", ".tsv", ".csv.gz", ".tsv.gz")
TYPED_ENDINGS = (".parquet", ".feather", ".arrow", ".jsonl", ".ndjson", ".xlsx")
SPEC_ENDINGS = (".yaml", ".yml")


def is_table(path: str) -> bool:
    """Return whether the name is that of a table.

    >>> is_table("data/Birds.CSV"), is_table("spec.yaml")
    (True, False)
    """
    return path.lower().endswith((*TEXT_ENDINGS, *TYPED_ENDINGS))


def is_spec(path: str) -> bool:
    """Return whether the name is that of a spec."""
    return path.lower().endswith(SPEC_ENDINGS)
