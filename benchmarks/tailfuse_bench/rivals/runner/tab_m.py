"""TabM (Gorishniy et al. 2025) with balanced class weights, stopped early on validation rows.

Letters: N rows, W columns, K members of the ensemble, C classes.
"""

import copy
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from .model import Model, balance_weights, stack_features
from .problem import Floats, Problem, Rows

# Learning rate, weight decay, batch and patience of the authors' example.
LEARNING_RATE, WEIGHT_DECAY, BATCH, PATIENCE, MAX_EPOCHS = 2e-3, 3e-4, 256, 16, 1000


@dataclass(frozen=True, slots=True)
class Ensemble:
    """A fitted TabM network, and what standardises its columns."""

    scaler: StandardScaler
    network: Any

    @property
    def parameters(self) -> int | None:
        """Number of parameters."""
        return sum(int(each.numel()) for each in self.network.parameters())

    def predict(self, rows: Rows) -> Floats:
        """Return the class probabilities of rows, the mean of all members: (N, C)"""
        return predict_columns(self.network, make_columns(self.scaler, rows)).numpy()

    def save(self, folder: Path) -> None:
        """Write the weights."""
        torch.save(self.network.state_dict(), folder / "model.pt")
        np.savez(folder / "scaler.npz", mean=self.scaler.mean_, scale=self.scaler.scale_)


def fit(problem: Problem) -> Model:
    """Fit on training rows; stop when validation rows do not improve, or when the time is up."""
    from tabm import TabM

    torch.manual_seed(problem.seed)
    torch.set_num_threads(1)
    scaler = StandardScaler().fit(stack_features(problem.train))
    columns = make_columns(scaler, problem.train)
    network: Any = TabM.make(n_num_features=columns.shape[1], d_out=problem.n_classes)
    train_network(network, columns, problem, make_columns(scaler, problem.val))
    return Ensemble(scaler, network)


def make_columns(scaler: StandardScaler, rows: Rows) -> Tensor:
    """Return standardised features, 0 where they are missing, and the presence of each modality: (N, W)"""
    features = np.nan_to_num(scaler.transform(stack_features(rows)))
    presence = [rows.presence(name) for name in rows.features]
    return torch.from_numpy(np.column_stack([features, *presence]).astype(np.float32))


def train_network(network: Any, columns: Tensor, problem: Problem, val_columns: Tensor) -> None:
    """Train until validation loss stops falling; keep the weights of the best epoch."""
    deadline = time.monotonic() + problem.seconds
    optimizer = torch.optim.AdamW(network.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    labels, weights = make_targets(problem.train)
    val_labels, val_weights = make_targets(problem.val)
    best, best_state, since_best = float("inf"), copy.deepcopy(network.state_dict()), 0
    for _ in range(MAX_EPOCHS):
        network.train()
        for index in torch.randperm(len(columns)).split(BATCH):
            optimizer.zero_grad()
            answers = network(columns[index])
            compute_loss(answers, labels[index], weights[index]).backward()
            optimizer.step()
        if len(val_labels):
            true = predict_columns(network, val_columns)[torch.arange(len(val_labels)), val_labels]
            loss = float(-(val_weights * true.clamp(min=1e-12).log()).mean())
            since_best += 1
            if loss < best:
                best, best_state, since_best = loss, copy.deepcopy(network.state_dict()), 0
        if since_best > PATIENCE or time.monotonic() > deadline:
            break
    if len(val_labels):
        network.load_state_dict(best_state)


def make_targets(rows: Rows) -> tuple[Tensor, Tensor]:
    """Return the labels, and weights with which every class counts alike: (N,), (N,)"""
    return torch.from_numpy(rows.labels), torch.from_numpy(balance_weights(rows.labels)).float()


def compute_loss(answers: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
    """Average the weighted cross-entropies of all members, (N, K, C) -> ()"""
    members = answers.shape[1]
    losses = torch.nn.functional.cross_entropy(
        answers.flatten(0, 1), labels.repeat_interleave(members), reduction="none"
    )
    return (losses * weights.repeat_interleave(members)).mean()


@torch.inference_mode()
def predict_columns(network: Any, columns: Tensor) -> Tensor:
    """Return the mean probabilities of all members: (N, W) -> (N, C)"""
    network.eval()
    answers = [network(batch).softmax(dim=-1).mean(dim=1) for batch in columns.split(4 * BATCH)]
    return torch.cat(answers)
