"""The PLDA head: a Gaussian model of one modality's rows, fitted in closed form.

    x = A (class mean + noise),  class mean ~ N(m0, diag(b)),  noise ~ N(0, 1)

Probabilistic linear discriminant analysis (Ioffe 2006; Prince & Elder 2007). The covariance within classes
and the spread between them are learnt from all classes, so mostly from frequent ones, and serve the rare
ones too: a class of two rows borrows everything but its mean, and the uncertainty of its mean widens its
density. No class is favoured for being frequent. The same Gaussian yields out-of-distribution (OOD) scores.

Letters: n rows, D penultimate features (what an encoder's last layer receives), C classes, R discriminant
directions (C - 1, but D or 128 at most), P principal directions.
"""

import scipy.linalg
import torch
import torch.nn.functional as F
from torch import Tensor, nn

SHRINKAGE = 0.3  # of the covariance within classes, towards a multiple of the identity
# The minimum variance within classes, relative to the rows' mean squared length. Where all rows of a class
# are the same, only rounding would separate a row from its class mean.
MIN_VARIANCE = 1e-4
MAX_PRINCIPAL, MAX_DIRECTIONS = 64, 128
N_DENSITIES = 4
# Added to each squared distance, relative to that of the average row: smaller ones carry no information.
MIN_DISTANCE = 0.02
# Of the rows' mean squared length: a mean squared distance below it is measured in this unit.
MIN_SCALE = 1e-3
IGNORED = 1e30  # the scale of a distance that is not scored


class PldaHead(nn.Module):
    """Log-densities of a row under each class, and its OOD scores."""

    center: Tensor
    discriminant: Tensor
    mean: Tensor
    precision: Tensor
    principal: Tensor
    spread: Tensor
    scale: Tensor

    def __init__(self, n_numbers: int, n_classes: int) -> None:
        super().__init__()
        n_directions = min(n_classes - 1, n_numbers, MAX_DIRECTIONS)
        self.register_buffer("center", torch.zeros(n_numbers))
        self.register_buffer("discriminant", torch.zeros(n_numbers, n_directions))  # A^-1
        self.register_buffer("mean", torch.zeros(n_classes, n_directions))
        self.register_buffer("precision", torch.ones(n_classes, n_directions))
        # The principal directions, each scaled to variance 1 over the training rows.
        self.register_buffer("principal", torch.zeros(n_numbers, min(n_numbers, MAX_PRINCIPAL)))
        self.register_buffer("spread", torch.ones(min(n_numbers, MAX_PRINCIPAL)))
        self.register_buffer("scale", torch.ones(N_DENSITIES))  # mean of each squared distance

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """(n, D) -> log-densities (n, C) up to a constant of the row, OOD scores (n, 4)"""
        centered = features - self.center
        densities, nearest = self.compare(self.project(centered))
        return densities, self.compute_ood_scores(centered, nearest)

    def project(self, centered: Tensor) -> Tensor:
        """Project rows on the discriminant directions, in units of the noise: (n, D) -> (n, R), double"""
        # Where classes hardly vary, a row is hundreds of units from the centre and less than one from its
        # class mean: single precision would lose most of that.
        return centered.double() @ self.discriminant.double()

    def compare(self, projected: Tensor) -> tuple[Tensor, Tensor]:
        """Compare with each class: (n, R) -> log-densities (n, C), distance to the nearest mean (n, 1)

        p (s - mean)^2 = p s^2 - 2 p mean s + p mean^2: one product with all classes at once. In double
        precision the sum keeps what the difference would.
        """
        mean, precision = self.mean.double(), self.precision.double()
        squares = torch.cat([-precision / 2, torch.ones_like(precision)])  # (2 C, R)
        linear = torch.cat([precision * mean, -2 * mean])
        constant = (precision.log() - precision * mean.square()).sum(-1) / 2
        constants = torch.cat([constant, mean.square().sum(-1)])
        both = torch.cat([projected.square(), projected], -1) @ torch.cat([squares, linear], -1).T + constants
        densities, apart = both.to(self.mean.dtype).split(len(mean), dim=-1)
        return densities, apart.amin(-1, keepdim=True).clamp(min=0.0)

    def compute_ood_scores(self, centered: Tensor, nearest: Tensor) -> Tensor:
        """Compute logs of squared distances relative to those of training rows: (n, D), (n, 1) -> (n, 4)

        The distances: to the nearest class mean; to the centre along the principal directions (Mahalanobis);
        to the subspace of the principal directions; to the centre.
        """
        along = centered @ self.principal
        # Not the length less that along: where little lies outside, only rounding would remain.
        outside = centered - along @ self.principal.T
        distances = [nearest, sum_squares(along / self.spread), sum_squares(outside), sum_squares(centered)]
        return (torch.cat(distances, -1) / self.scale + MIN_DISTANCE).log()

    @torch.no_grad()
    def fit(self, features: Tensor, labels: Tensor, *, of_cells: bool = False) -> None:
        """Fit to training rows: (n, D), (n,). Classes without rows are as wide as their spread.

        If features are `of_cells` of a table, dependences between them are no evidence. The slots of a
        category sum to 1 in every training row, and to 0 where it is missing or unseen: for any other encoder
        a row outside the subspace of the training rows is unlike all of them, here one cell is missing.
        """
        n_classes = len(self.mean)
        x = features.double()
        self.center.copy_(x.mean(0))
        x = x - x.mean(0)
        left, lengths, right = decompose(x)
        kept = lengths > 1e-5 * lengths[0].clamp(min=1e-12)
        basis, x = right[kept].T, left[:, kept] * lengths[kept]  # rows in their own subspace
        if not kept.any():
            return  # every row is the same: no direction separates classes
        self.fit_classes(x, labels, basis, n_classes)
        self.fit_principal(x, basis, lengths[kept])
        centered = features - self.center
        projected = self.project(centered)
        nearest, along, outside, length = (
            self.compute_ood_scores(centered, self.compare(projected)[1]).exp() - MIN_DISTANCE
        ).mean(0)
        # Distances that are 0 for all training rows are measured in thousandths of the rows' length.
        least = torch.stack([sum_squares(projected).mean().to(along.dtype), along, length, length])
        if of_cells and outside < MIN_SCALE * length:
            outside = torch.full_like(outside, IGNORED)
        self.scale.copy_(torch.stack([nearest, along, outside, length]).maximum(MIN_SCALE * least + 1e-6))

    def fit_classes(self, x: Tensor, labels: Tensor, basis: Tensor, n_classes: int) -> None:
        """Fit covariance within classes, spread between them (method of moments), and shrunken means."""
        n, (n_numbers, rank) = len(x), basis.shape
        one_hot = F.one_hot(labels, n_classes).to(x.dtype)
        counts = one_hot.sum(0)
        means = (one_hot.T @ x) / counts.clamp(min=1)[:, None]
        n_present = int((counts > 0).sum())
        deviations = x - means[labels]
        within = deviations.T @ deviations / max(1, n - n_present)
        even = max(SHRINKAGE * float(within.trace()) / n_numbers, MIN_VARIANCE * float(x.square().sum()) / n)
        within = (1 - SHRINKAGE) * within + even * torch.eye(rank, dtype=x.dtype)
        values, vectors = torch.linalg.eigh(within)
        whiten = vectors / values.sqrt()
        white = means @ whiten  # the centre of all rows is 0
        between = (white * counts[:, None]).T @ white - (n_present - 1) * torch.eye(rank, dtype=x.dtype)
        between = between / max(1.0, float(n - counts.square().sum() / n))
        values, vectors = torch.linalg.eigh(between)
        order = values.argsort(descending=True)[: self.mean.shape[1]]
        b, directions = values[order].clamp(min=0.0), vectors[:, order]
        known = counts[:, None] * b / (counts[:, None] * b + 1)  # weight of a class's rows in its mean
        found = slice(len(b))
        self.discriminant[:, found] = (basis @ whiten @ directions).to(self.discriminant.dtype)
        self.mean[:, found] = (known * (white @ directions)).to(self.mean.dtype)
        self.precision[:, found] = (1 / (1 + b * (1 - known))).to(self.precision.dtype)

    def fit_principal(self, x: Tensor, basis: Tensor, lengths: Tensor) -> None:
        """Fit the directions of largest variance: at most a quarter as many as rows."""
        count = max(1, min(self.principal.shape[1], len(lengths), len(x) // 4))
        self.principal[:, :count] = basis[:, :count].to(self.principal.dtype)
        self.spread[:count] = (lengths[:count] / len(x) ** 0.5).to(self.spread.dtype)


def decompose(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the singular value decomposition (n, R), (R,), (R, D) of rows (n, D).

    LAPACK's fast driver does not converge for some rows with very many equal singular values, such as those
    of hundreds of categories. Its slow driver does.
    """
    try:
        left, lengths, right = torch.linalg.svd(x, full_matrices=False)
    except torch.linalg.LinAlgError:  # type: ignore[attr-defined]  # torch does not export it by __all__
        found = scipy.linalg.svd(x.cpu().numpy(), full_matrices=False, lapack_driver="gesvd")
        left, lengths, right = (torch.from_numpy(each).to(x.device) for each in found)
    return left, lengths, right


def sum_squares(rows: Tensor) -> Tensor:
    """Compute the squared length of each row: (n, D) -> (n, 1)"""
    return rows.square().sum(-1, keepdim=True)
