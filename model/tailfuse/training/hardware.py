"""The devices to train on: of this process, of more that it starts, or of those that torchrun started."""

import os
from dataclasses import dataclass
from typing import Any

import torch
from lightning_fabric import Fabric
from torch.distributed.distributed_c10d import PrefixStore
from torch.distributed.rendezvous import rendezvous

from tailfuse.errors import RunError

PRECISIONS = ("32-true", "bf16-mixed", "16-mixed")


@dataclass(frozen=True, slots=True)
class Hardware:
    """The hardware to train on, by the names of Lightning Fabric.

    Where torchrun started this process, on one machine or several, it says how many devices there are.
    """

    accelerator: str = "auto"
    devices: int | str = 1
    precision: Any = "32-true"

    def fabric(self) -> Fabric:
        """Raises RunError."""
        if self.precision not in PRECISIONS:
            raise RunError(f"--precision: '{self.precision}' is none of {', '.join(PRECISIONS)}")
        devices, nodes = self.devices, 1
        if is_launched():
            devices = int(os.environ["LOCAL_WORLD_SIZE"])
            nodes = int(os.environ["WORLD_SIZE"]) // devices
        try:
            return Fabric(
                accelerator=self.accelerator,
                devices=devices,
                num_nodes=nodes,
                precision=self.precision,
                strategy="auto" if devices == 1 and nodes == 1 else "ddp",
            )
        except (ValueError, RuntimeError, ImportError) as error:
            raise RunError(f"cannot train on this hardware: {str(error).splitlines()[0]}") from None


def is_launched() -> bool:
    """Return whether torchrun started this process, perhaps among others."""
    return "TORCHELASTIC_RUN_ID" in os.environ


def launch(fabric: Fabric) -> None:
    """Start the other processes of a training, or join those that torchrun started."""
    if is_launched() and fabric.world_size > 1:
        # torchrun's store outlives a restart: without a prefix it would give the addresses of processes that
        # are gone.
        store, rank, world_size = next(rendezvous("env://"))
        torch.distributed.init_process_group(
            torch.distributed.get_default_backend_for_device(fabric.device),
            store=PrefixStore(f"restart-{os.environ['TORCHELASTIC_RESTART_COUNT']}", store),
            rank=rank,
            world_size=world_size,
        )
    fabric.launch()
