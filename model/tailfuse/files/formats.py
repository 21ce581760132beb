"""What the end of a file's name says about the file."""

TABLE_SUFFIXES = (".csv", ".csv.gz", ".tsv", ".parquet", ".xlsx", ".jsonl", ".feather", ".arrow")
SPEC_SUFFIXES = (".yaml", ".yml")


def is_table(path: str) -> bool:
    """Return whether the name is that of a table.

    >>> is_table("data/Birds.CSV"), is_table("spec.yaml")
    (True, False)
    """
    return path.lower().endswith(TABLE_SUFFIXES)


def is_spec(path: str) -> bool:
    """Return whether the name is that of a spec."""
    return path.lower().endswith(SPEC_SUFFIXES)
