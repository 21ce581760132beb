"""The answers of a bundle to all rows of a table, and the contributions of its modalities.

Letters: N rows, M modalities, C classes, K pairs of orders.
"""

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
from tailfuse_service.bundle import Bundle
from tailfuse_service.bundle.shapley import MAX_EXACT, PAIRS, shapley_weights, walk_order

from tailfuse.data.arrays import make_split_arrays
from tailfuse.data.split_arrays import SplitArrays
from tailfuse.evaluation.answer_part import Answers, Floats, answer_part, count_piece_rows
from tailfuse.scoring.missing_columns import find_missing_columns
from tailfuse.spelling import did_you_mean

log = logging.getLogger("tailfuse")


def answer_rows(
    bundle: Bundle, table: pl.DataFrame, folder: Path, modalities: Iterable[str] | None = None
) -> Answers:
    """Answer all rows with some of the modalities, with all of them if none is named.

    Raises TableError, and ValueError for an unknown name.
    """
    names = list_modalities(modalities, list(bundle.manifest.modalities))
    pieces = [
        answer_part(bundle, keep_modalities(piece, names)) for piece in read_pieces(bundle, table, folder)
    ]
    answers = Answers(*(np.concatenate(each) for each in zip(*pieces, strict=True)))
    if len(unanswered := answers.find_unanswered()):
        log.warning(
            "%d of %d rows have none of the modalities %s and no answer; the first is row %d",
            len(unanswered), len(table), ", ".join(names), unanswered[0] + 1,
        )  # fmt: skip
    return answers


def list_modalities(names: Iterable[str] | None, known: Sequence[str]) -> list[str]:
    """Return the names of the modalities that answer: all if None. Raises ValueError for an unknown one.

    >>> list_modalities(iter(["notes"]), ["image", "notes"])
    ['notes']
    """
    if names is None:
        return list(known)
    listed = list(names) if isinstance(names, Iterable) and not isinstance(names, str) else []
    if not listed:
        raise ValueError(f"modalities: expected a list of names such as ['{known[0]}']")
    for name in listed:
        if name not in known:
            expected = ", ".join(known)
            raise ValueError(f"modalities: '{name}' is none of {expected}{did_you_mean(str(name), known)}")
    return listed


def read_pieces(bundle: Bundle, table: pl.DataFrame, folder: Path) -> Iterator[SplitArrays]:
    """Yield the rows of a table as arrays, piece by piece; columns that it lacks count as missing.

    Raises TableError.
    """
    modalities = bundle.manifest.modalities
    wanted = {name: each.column_names for name, each in modalities.items()}
    lacking = find_missing_columns(table.columns, wanted)
    table = table.with_columns(pl.lit(None).alias(column) for column in lacking)
    n_rows = count_piece_rows(modalities)
    for start in range(0, len(table), n_rows):
        rows = np.arange(start, min(start + n_rows, len(table)))
        yield make_split_arrays(table, modalities, folder, rows=rows)


def keep_modalities(part: SplitArrays, modalities: Sequence[str]) -> SplitArrays:
    """Return the same rows without their other modalities."""
    position = {
        name: at if name in modalities else np.full_like(at, -1) for name, at in part.position.items()
    }
    return replace(part, position=position)


def explain_rows(bundle: Bundle, table: pl.DataFrame, folder: Path, prior: Floats) -> tuple[Floats, Floats]:
    """Return the probabilities (N, C) and the Shapley value (N, M) of each modality for the winning class.

    `prior` (C,) is what the bundle answers when it knows nothing. An absent modality contributes nothing.
    Raises TableError.
    """
    pieces = [explain_piece(bundle, part, prior) for part in read_pieces(bundle, table, folder)]
    probabilities, contributions = (np.concatenate(each) for each in zip(*pieces, strict=True))
    return probabilities, contributions


def explain_piece(bundle: Bundle, part: SplitArrays, prior: Floats) -> tuple[Floats, Floats]:
    """Return what `explain_rows` does, of one piece."""
    names = part.modalities
    n_modalities = len(names)
    whole = 2**n_modalities - 1
    probabilities = answer_part(bundle, part).probabilities
    winner = np.nan_to_num(probabilities, nan=-1.0).argmax(axis=1)

    def value(subset: int) -> Floats:
        """Return the probability of the winning class (N,) from a subset; the prior from none."""
        chosen = [name for m, name in enumerate(names) if subset >> m & 1]
        known = probabilities if subset == whole else prior + np.zeros_like(probabilities)
        if chosen and subset != whole:
            answers = answer_part(bundle, keep_modalities(part, chosen)).probabilities
            known = np.where(np.isnan(answers), prior, answers)
        values: Floats = np.take_along_axis(known, winner[:, None], axis=1)[:, 0]
        return values

    if n_modalities <= MAX_EXACT:
        values = np.stack([value(subset) for subset in range(whole + 1)])  # (2^M, N)
        return probabilities, (shapley_weights(n_modalities) @ values).T
    random = np.random.default_rng(0)
    contributions = np.zeros((n_modalities, len(part)))
    for _ in range(PAIRS):
        order = tuple(random.permutation(n_modalities).tolist())
        for each in (order, order[::-1]):
            steps = np.diff([value(subset) for subset in walk_order(each)], axis=0)  # (M, N)
            contributions[list(each)] += steps / (2 * PAIRS)
    return probabilities, contributions.T
