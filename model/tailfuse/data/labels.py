"""The labels that training learns: checked as a whole, with rare classes merged where the spec says so."""

import logging
import unicodedata

import numpy as np
import polars as pl
from tailfuse_service.modalities.tabular.spelling import make_value_key

from tailfuse.data.classes import MAX_LISTED, list_names, read_labels
from tailfuse.data.split import find_parts
from tailfuse.errors import TableError
from tailfuse.files.table import Rows
from tailfuse.spec.schema import Spec, SplitSpec

OTHER = "other"  # the merged class, where the spec has `min_rows` alone
MIN_CLASSES = 2
MAX_NUMERIC_CLASSES = 30  # codes of classes are seldom more; ages, prices and counts are
MINUS = "\u2212"  # which Unicode does not count among the dashes
MIN_MEASURED_VALUES = 10  # fewer different numbers with fractions may well be grades such as 1.5

log = logging.getLogger("tailfuse")


def load_labels(table: pl.DataFrame, spec: Spec) -> pl.Series:
    """Return each row's label, null where it is missing. Warn of what is doubtful. Raises TableError."""
    labels = read_labels(table, spec.label)
    rows = find_rows_with_part(table, spec.split)
    used = find_labelled_rows(labels, rows)
    warn_of_similar_names(labels[used])
    check_numbers(labels[used])
    if spec.min_rows is not None:
        labels = merge_rare_classes(labels, used, spec.min_rows, spec.other or OTHER)
    check_class_count(labels[used])
    return labels


def find_rows_with_part(table: pl.DataFrame, split: str | SplitSpec) -> Rows:
    """Return the rows that belong to train, val or test; all of them where no column says it."""
    column = split.column if isinstance(split, SplitSpec) else split
    if column is None:
        return np.arange(len(table))
    return np.sort(np.concatenate(list(find_parts(table, column).values())))


def find_labelled_rows(labels: pl.Series, rows: Rows) -> Rows:
    """Return those of `rows` that have a label; warn of the others. Raises TableError if none has one."""
    has_label = labels[rows].is_not_null().to_numpy()
    if not has_label.any():
        raise TableError(f"label: column '{labels.name}' has no value in any of {len(rows):,} rows")
    if not has_label.all():
        unlabelled = rows[~has_label]
        log.warning(
            "label: skipped %s without a label in column '%s'; the first is row %d",
            count_noun(len(unlabelled), "row", "rows"), labels.name, unlabelled[0] + 1,
        )  # fmt: skip
    labelled: Rows = rows[has_label]
    return labelled


def merge_rare_classes(labels: pl.Series, used: Rows, min_rows: int, other: str) -> pl.Series:
    """Give the label `other` to every class that has fewer than `min_rows` of the `used` rows.

    >>> labels = pl.Series("y", ["cat", "cat", "elk", "owl"])
    >>> merge_rare_classes(labels, np.arange(4), 2, "other").to_list()
    ['cat', 'cat', 'other', 'other']
    """
    counts = count_classes(labels[used])
    names = labels.drop_nulls().unique().sort().to_list()
    rare = [name for name in names if counts.get(name, 0) < min_rows and name != other]
    if not rare:
        return labels
    merged = labels.replace(dict.fromkeys(rare, other))
    rows = sum(counts.get(name, 0) for name in rare)
    own = count_noun(counts.get(other, 0), "row", "rows")
    existing = f"; '{other}' has {own} of its own" if other in counts else ""
    log.warning(
        "min_rows: %s with fewer than %d rows, %s in all, become '%s'%s: %s",
        count_noun(len(rare), "class", "classes"), min_rows, count_noun(rows, "row", "rows"), other, existing,
        list_names(rare),
    )  # fmt: skip
    return merged


def find_merged_labels(labels: pl.Series, merged: pl.Series) -> dict[str, str]:
    """Return the class of each label that `merge_rare_classes` merged; empty if it merged none."""
    pairs = pl.DataFrame({"label": labels, "class": merged}).filter(pl.col("label") != pl.col("class"))
    return dict(pairs.unique().sort("label").rows())


def check_class_count(labels: pl.Series) -> None:
    """Raises TableError if there is one class only."""
    names = labels.unique()
    if len(names) < MIN_CLASSES:
        raise TableError(
            f"label: column '{labels.name}' has one class, '{names[0]:.80}'; at least two are needed"
        )


def warn_of_single_rows(labels: pl.Series) -> None:
    """Name the classes that have one row. A class without a training row was refused, so that row is one."""
    single = sorted(name for name, count in count_classes(labels).items() if count == 1)
    if single:
        log.warning(
            "label: %s one row only, used for training, so that no row is left to evaluate them "
            "(min_rows in the spec merges rare classes): %s",
            "1 class has" if len(single) == 1 else f"{len(single):,} classes have",
            list_names(single),
        )


def check_numbers(labels: pl.Series) -> None:
    """Ask about a label with very many numbers. Raises TableError if it is measured rather than a code."""
    names = labels.unique()
    numbers = names.cast(pl.Float64, strict=False)
    if len(names) < MIN_MEASURED_VALUES or numbers.null_count() or not numbers.is_finite().all():
        return
    has_fractions = bool((numbers % 1 != 0).any())
    what = f"label: column '{labels.name}' has {len(names):,} different numbers in {len(labels):,} rows"
    if has_fractions and len(names) > len(labels) / 2:
        raise TableError(
            f"{what}, such as {labels[0]}: is this a quantity? tailfuse classifies, it does not predict "
            "numbers; name a column of classes, or make classes of ranges of these numbers"
        )
    if len(names) > MAX_NUMERIC_CLASSES:
        log.warning(
            "%s: is this a quantity? tailfuse classifies: each number becomes a class of its own, "
            "and their order is not used",
            what,
        )


def warn_of_similar_names(labels: pl.Series) -> None:
    """Warn of classes whose names look alike, or spell one number."""
    counts = count_classes(labels)
    by_key: dict[str, list[str]] = {}
    for name in sorted(counts):
        by_key.setdefault(fold_name(name), []).append(name)
    similar = [names for names in by_key.values() if len(names) > 1]
    if similar:
        shown = "; ".join(
            # repr shows what is invisible, as in 'cat\u200b'.
            " and ".join(f"{name[:80]!r} ({count_noun(counts[name], 'row', 'rows')})" for name in names)
            for names in similar[:MAX_LISTED]
        )
        rest = f" and {len(similar) - MAX_LISTED:,} more" if len(similar) > MAX_LISTED else ""
        log.warning(
            "label: column '%s' has classes whose names differ only in case, spaces, invisible or similar "
            "characters, or spell one number; each counts as a class of its own: %s%s",
            labels.name, shown, rest,
        )  # fmt: skip


def fold_name(name: str) -> str:
    """Return one key for all spellings of a name: in other case, with other spaces or invisible characters.

    Characters that Unicode calls compatible are one, such as x² and x2, and so are all dashes. A number has
    one key, but 01 and 1 are two codes.

    >>> fold_name("Basal  cell "), fold_name("basal\\u200b cell"), fold_name("a\\u2010b"), fold_name("2.0")
    ('basal cell', 'basal cell', 'a-b', 'number 2')
    """
    plain = unicodedata.normalize("NFKC", name).casefold()
    visible = "".join(
        "-" if unicodedata.category(sign) == "Pd" or sign == MINUS else sign
        for sign in plain
        if unicodedata.category(sign) != "Cf"  # zero-width and other invisible characters
    )
    folded = " ".join(visible.split())
    return make_value_key(folded) or folded


def count_classes(labels: pl.Series) -> dict[str, int]:
    """Return the rows of each class; rows without a label are left out."""
    counts = labels.drop_nulls().alias("class").value_counts()
    return dict(zip(counts["class"].to_list(), counts["count"].to_list(), strict=True))


def count_noun(count: int, one: str, many: str) -> str:
    """Return a count and its noun: `1 row`, `2 rows`."""
    return f"{count:,} {one if count == 1 else many}"
