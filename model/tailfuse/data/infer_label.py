"""Which column of an unknown table is the label, and which others say the same in other words."""

import re

import polars as pl

from tailfuse.data.classes import read_labels
from tailfuse.errors import TableError
from tailfuse.spelling import did_you_mean

# Without case, spaces and signs: Class Name, class_name and ClassName are one name. The likeliest come first.
LABEL_NAMES = (
    "label", "labels", "class", "classes", "classname", "classlabel", "labelname", "target", "targets",
    "targetclass", "targetlabel", "y", "ytrue", "groundtruth", "diagnosis", "dx", "category", "species",
    "outcome", "sentiment", "churn", "churned", "survived",
)  # fmt: skip
# Words that make another column of the same thing: diagnosis_code, Class ID.
ROLES = {"id", "code", "name", "index", "idx", "no", "nr", "num", "number", "key", "encoded", "int", "str"}
ID = re.compile(r"index|key|(.*[_ .-])?(id|uuid|guid)", re.IGNORECASE)
MIN_ROWS = 3  # of a class on average; with fewer, one value per class may be chance
TOKENS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+|[^\W\d_]+")


def choose_label(table: pl.DataFrame, split: str | None, wanted: str | None) -> tuple[str, bool]:
    """Return the label's column, and whether the user or its name says so. Raises TableError."""
    if wanted is not None:
        check_wanted(table, wanted)
        return wanted, True
    columns = [series for series in table if series.name != split and could_be_classes(series)]
    named = [series.name for name in LABEL_NAMES for series in columns if fold(series.name) == name]
    if named:
        return named[0], True
    # Of the others, names of classes rather than numbers, and few rather than many.
    columns = [each for each in columns if not ID.fullmatch(each.name) and not each.dtype.is_float()]
    columns = [each for each in columns if each.n_unique() <= each.count() / 3]
    columns.sort(key=lambda each: (each.dtype not in (pl.String, pl.Boolean), each.n_unique()))
    if not columns:
        raise TableError(
            "no column looks like a label: a few values, each of them in several rows; name one as the label"
        )
    return columns[0].name, False


def check_wanted(table: pl.DataFrame, wanted: str) -> None:
    """Raises TableError if the column that the user names cannot be a label."""
    if wanted not in table.columns:
        raise TableError(f"label: the table has no column '{wanted}'{did_you_mean(wanted, table.columns)}")
    count = read_labels(table, wanted).drop_nulls().n_unique()
    if count < 2:
        values = "no value" if count == 0 else "one value"
        raise TableError(f"label: column '{wanted}' has {values}; a label has at least two")


def could_be_classes(series: pl.Series) -> bool:
    """Return whether the values could be classes: two or more, each in two rows on average, no fractions."""
    if not (series.dtype in (pl.String, pl.Boolean) or series.dtype.is_numeric()):
        return False
    values = series.drop_nulls()
    if series.dtype.is_float() and (values % 1 != 0).any():
        return False
    return 2 <= values.n_unique() <= len(values) / 2


def find_other_labels(table: pl.DataFrame, label: str) -> dict[str, str]:
    """Return the columns that give the label away, and why each is thought to.

    Such a column is the label in other words: it is not known where the model is used.
    """
    found = {}
    for series in table:
        if series.name != label and (why := describe_other_label(series, table[label])):
            found[series.name] = why
    return found


def describe_other_label(series: pl.Series, label: pl.Series) -> str | None:
    """Return why a column is another label, or None."""
    if series.dtype.is_nested() or series.dtype in (pl.Binary, pl.Object):
        return None
    if has_one_value_per_class(series, label):
        reverse = (
            " and the reverse" if series.drop_nulls().n_unique() == label.drop_nulls().n_unique() else ""
        )
        return f"each '{label.name}' goes with one of its values{reverse}: it may be made from the label"
    if is_same_thing(series.name, label.name):
        return f"its name says that it tells '{label.name}'; add it if it is known before '{label.name}' is"
    named = fold(series.name) in LABEL_NAMES
    if named and (could_be_classes(series) or len(fold(series.name)) > 1):  # y beside x is a coordinate
        return f"its name is that of a label; add it if it is known before '{label.name}' is"
    return None


def has_one_value_per_class(series: pl.Series, label: pl.Series) -> bool:
    """Return whether each class has one value: a code of the class, or what it belongs to."""
    if series.n_unique() > label.n_unique() + 1:  # a gap is one value
        return False
    pairs = pl.DataFrame({"value": series, "class": label}).drop_nulls()
    distinct = pairs.unique()
    n_classes = label.drop_nulls().n_unique()
    return (
        len(pairs) >= max(MIN_ROWS * n_classes, label.count() / 2)
        and distinct["value"].n_unique() > 1
        and len(distinct) == distinct["class"].n_unique() == n_classes
    )


def is_same_thing(column: str, label: str) -> bool:
    """Return whether a column's name begins as the label's does: diagnosis_code beside diagnosis."""
    tokens, wanted = split_name(column), split_name(label)
    return tokens == wanted or (len("".join(wanted)) > 1 and tokens[: len(wanted)] == wanted)


def split_name(name: str) -> list[str]:
    """Return the words of a column's name, in small letters, without those that say a role.

    >>> split_name("Class Name"), split_name("diagnosisCode"), split_name("ID")
    (['class'], ['diagnosis'], ['id'])
    """
    tokens = [token.lower() for token in TOKENS.findall(name)]
    return [token for token in tokens if token not in ROLES] or tokens or [name]


def fold(name: str) -> str:
    """Return a column's name without case, spaces and signs."""
    return re.sub(r"[\W_]+", "", name.casefold())
