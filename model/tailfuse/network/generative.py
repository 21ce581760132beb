"""The generative expert: a Gaussian model of one modality's rows, fitted in closed form.

    x = A (class mean + noise),  class mean ~ N(m0, diag(b)),  noise ~ N(0, 1)

Probabilistic linear discriminant analysis (Ioffe 2006; Prince & Elder 2007). The covariance within classes
and the spread between them are learnt from all classes, so mostly from frequent ones, and serve the rare
ones too: a class of two rows borrows everything but its mean, and what its mean is not known by widens its
density. No class is favoured for being frequent. The same Gaussian tells what is unlike any training row.

Letters: n rows, D numbers in a view (what an encoder's last layers see), C classes, R directions that tell
classes apart (C - 1, but D or 128 at most), P principal directions.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SHRINKAGE = 0.3  # of the covariance within classes, towards a multiple of the identity
# Of the rows' mean squared length: no direction varies less within classes. Where all rows of a class are
# the same, rounding would be all that tells a row from its class mean.
FINEST = 1e-4
MAX_PRINCIPAL, MAX_DIRECTIONS = 64, 128
N_DENSITIES = 4
# Below this share of the average row's, a squared distance says no more.
FLOOR = 0.02


class Generative(nn.Module):
    """Log-densities of a row under each class, and how unlike the training rows it is."""

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
        # What of a row lies in the principal directions, each scaled to variance 1 over the training rows.
        self.register_buffer("principal", torch.zeros(n_numbers, min(n_numbers, MAX_PRINCIPAL)))
        self.register_buffer("spread", torch.ones(min(n_numbers, MAX_PRINCIPAL)))
        self.register_buffer("scale", torch.ones(N_DENSITIES))  # mean of each squared distance

    def forward(self, view: Tensor) -> tuple[Tensor, Tensor]:
        """(n, D) -> log-densities (n, C) up to a constant of the row, strangeness (n, 4)"""
        centered = view - self.center
        densities, nearest = self.compare(self.seen(centered))
        return densities, self.strangeness(centered, nearest)

    def seen(self, centered: Tensor) -> Tensor:
        """(n, D) -> (n, R) in double precision, in units of the noise"""
        # Where classes hardly vary, a row is hundreds of units from the centre and less than one from its
        # class mean: in single precision little of that is left.
        return centered.double() @ self.discriminant.double()

    def compare(self, seen: Tensor) -> tuple[Tensor, Tensor]:
        """With each class, (n, R) double -> log-densities (n, C), squared distance to the nearest mean (n, 1)

        p (s - mean)^2 = p s^2 - 2 p mean s + p mean^2: one product with all classes at once. In double
        precision the sum keeps what the difference would.
        """
        mean, precision = self.mean.double(), self.precision.double()
        squares = torch.cat([-precision / 2, torch.ones_like(precision)])  # (2 C, R)
        linear = torch.cat([precision * mean, -2 * mean])
        constant = (precision.log() - precision * mean.square()).sum(-1) / 2
        constants = torch.cat([constant, mean.square().sum(-1)])
        both = torch.cat([seen.square(), seen], -1) @ torch.cat([squares, linear], -1).T + constants
        densities, apart = both.to(self.mean.dtype).split(len(mean), dim=-1)
        return densities, apart.amin(-1, keepdim=True).clamp(min=0.0)

    def strangeness(self, centered: Tensor, nearest: Tensor) -> Tensor:
        """Logs of squared distances, each against its mean over training rows: (n, D), (n, 1) -> (n, 4)

        To the nearest class mean; to the centre along the principal directions (Mahalanobis); what lies
        outside of these; the whole length.
        """
        along = centered @ self.principal
        # Not the length less that along: where little lies outside, rounding would be all that is left.
        outside = centered - along @ self.principal.T
        distances = [nearest, squared(along / self.spread), squared(outside), squared(centered)]
        return (torch.cat(distances, -1) / self.scale + FLOOR).log()

    @torch.no_grad()
    def fit(self, view: Tensor, labels: Tensor) -> None:
        """To training rows: (n, D), (n,). Classes without rows are as wide as the spread of the classes."""
        n_classes = len(self.mean)
        x = view.double()
        self.center.copy_(x.mean(0))
        x = x - x.mean(0)
        left, lengths, right = torch.linalg.svd(x, full_matrices=False)
        kept = lengths > 1e-5 * lengths[0].clamp(min=1e-12)
        basis, x = right[kept].T, left[:, kept] * lengths[kept]  # rows in as few numbers as they need
        if not kept.any():
            return  # every row is the same: nothing is told apart
        self.fit_classes(x, labels, basis, n_classes)
        self.fit_principal(x, basis, lengths[kept])
        centered = view - self.center
        seen = self.seen(centered)
        nearest, along, outside, length = (
            self.strangeness(centered, self.compare(seen)[1]).exp() - FLOOR
        ).mean(0)
        # What training rows never leave is not measured finer than a thousandth of what they are long.
        least = torch.stack([squared(seen).mean().to(along.dtype), along, length, length])
        self.scale.copy_(torch.stack([nearest, along, outside, length]).maximum(1e-3 * least + 1e-6))

    def fit_classes(self, x: Tensor, labels: Tensor, basis: Tensor, n_classes: int) -> None:
        """Covariance within classes, spread between them by the method of moments, means shrunken."""
        n, (n_numbers, rank) = len(x), basis.shape
        one_hot = F.one_hot(labels, n_classes).to(x.dtype)
        counts = one_hot.sum(0)
        means = (one_hot.T @ x) / counts.clamp(min=1)[:, None]
        n_seen = int((counts > 0).sum())
        deviations = x - means[labels]
        within = deviations.T @ deviations / max(1, n - n_seen)
        even = max(SHRINKAGE * float(within.trace()) / n_numbers, FINEST * float(x.square().sum()) / n)
        within = (1 - SHRINKAGE) * within + even * torch.eye(rank, dtype=x.dtype)
        values, vectors = torch.linalg.eigh(within)
        whiten = vectors / values.sqrt()
        white = means @ whiten  # the centre of all rows is 0
        between = (white * counts[:, None]).T @ white - (n_seen - 1) * torch.eye(rank, dtype=x.dtype)
        between = between / max(1.0, float(n - counts.square().sum() / n))
        values, vectors = torch.linalg.eigh(between)
        order = values.argsort(descending=True)[: self.mean.shape[1]]
        b, directions = values[order].clamp(min=0.0), vectors[:, order]
        known = counts[:, None] * b / (counts[:, None] * b + 1)  # share of a class mean that its rows tell
        found = slice(len(b))
        self.discriminant[:, found] = (basis @ whiten @ directions).to(self.discriminant.dtype)
        self.mean[:, found] = (known * (white @ directions)).to(self.mean.dtype)
        self.precision[:, found] = (1 / (1 + b * (1 - known))).to(self.precision.dtype)

    def fit_principal(self, x: Tensor, basis: Tensor, lengths: Tensor) -> None:
        """The directions of largest variance: half as many as rows can tell, at most."""
        count = max(1, min(self.principal.shape[1], len(lengths), len(x) // 4))
        self.principal[:, :count] = basis[:, :count].to(self.principal.dtype)
        self.spread[:count] = (lengths[:count] / len(x) ** 0.5).to(self.spread.dtype)


def squared(rows: Tensor) -> Tensor:
    """(n, D) -> (n, 1)"""
    return rows.square().sum(-1, keepdim=True)
