"""The recall of many-, medium- and few-shot classes, estimated from predictions of rows without labels.

Letters: N rows, C classes.
"""

from collections.abc import Sequence

import numpy as np
from tailfuse_service.bundle.manifest import GroupRecall, Shot

from tailfuse.evaluation.metrics import Counts, FloatArray, mean

MIN_ROWS = 1.0  # expected ones of a class


def estimate_group_recall(posteriors: FloatArray, predicted: Counts, shots: Sequence[Shot]) -> GroupRecall:
    """Estimate the recall of predictions (N,) from calibrated posteriors (N, C); `shots` are the groups.

    Row n is of class c with probability p(c | x_n). So sum_n p(c | x_n) rows of class c are expected, and
    those that were predicted as c are the hits. A class with less than one expected row does not count: its
    recall would be that of rows of other classes.
    """
    codes = np.arange(len(shots))
    hits = (posteriors * (predicted[:, None] == codes)).sum(axis=0)
    rows = posteriors.sum(axis=0)
    recall = np.full(len(shots), np.nan)
    np.divide(hits, rows, out=recall, where=rows >= MIN_ROWS)
    group = np.asarray(shots)
    return GroupRecall(
        many=mean(recall[group == "many"]),
        medium=mean(recall[group == "medium"]),
        few=mean(recall[group == "few"]),
    )
