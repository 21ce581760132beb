"""TorchScript graphs that do harm when they are opened or run. Each has the inputs of the tiny bundle."""

import torch
from torch import Tensor


class Writer(torch.nn.Module):
    """Writes a file when it is run."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = path

    def forward(
        self, a: Tensor, b: Tensor, c: Tensor, d: Tensor, e: Tensor, f: Tensor, g: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        written = torch.from_file(self.path, True, 3)
        return written, written, written


class EarlyWriter(torch.nn.Module):
    """Writes a file when it is opened, before it is run."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = path
        self.written = torch.zeros(3)

    @torch.jit.export
    def __getstate__(self) -> tuple[str, bool]:
        return self.path, self.training

    @torch.jit.export
    def __setstate__(self, state: tuple[str, bool]) -> None:
        self.path = state[0]
        self.training = state[1]
        self.written = torch.from_file(self.path, True, 3)

    def forward(self, a: Tensor) -> Tensor:
        return a


class Printer(torch.nn.Module):
    """Prints reports of its own, more than a pipe holds, and then answers wrongly."""

    def forward(
        self, a: Tensor, b: Tensor, c: Tensor, d: Tensor, e: Tensor, f: Tensor, g: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        for _ in range(10_000):
            print('{"problem": null}')
        return a[:, :1], a, a


class Greedy(torch.nn.Module):
    """Takes memory without end, a little at a time."""

    def forward(
        self, a: Tensor, b: Tensor, c: Tensor, d: Tensor, e: Tensor, f: Tensor, g: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        held: list[Tensor] = []
        while len(held) < 1_000_000:
            held.append(a.new_ones(4194304))
        return held[0], held[1], held[2]
