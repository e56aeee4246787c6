"""The processes of one training: one alone, or several under torchrun, each with its share of every batch.

All of them hold the same weights and draw the same subnets; gradients and batch statistics are those of the whole
batch, so how many there are changes a result by rounding only.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn import functional as F

from ofa_mcu.errors import OfaMcuError, UsageError

__all__ = ["ALONE", "Ranks", "joined"]


class _Gather(torch.autograd.Function):
    """Own values (...) to those of all processes (world, ...); the gradient is that of the sum of all losses."""

    @staticmethod
    def forward(ctx: Any, own: Tensor, rank: int, world: int) -> Tensor:
        ctx.rank = rank
        everyone = own.new_zeros((world, *own.shape))
        everyone[rank] = own
        dist.all_reduce(everyone)
        return everyone

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        total = gradients[0].clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total[ctx.rank], None, None


@dataclass(frozen=True)
class Ranks:
    """This process among `world` ones, and the device it computes on."""

    rank: int = 0
    world: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    @property
    def first(self) -> bool:
        """Whether this process speaks, measures and writes for all."""
        return self.rank == 0

    @contextmanager
    def precision(self) -> Iterator[None]:
        """Mixed precision (bfloat16) on CUDA devices that have it; plain float32 elsewhere."""
        mixed = self.device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=mixed):
            yield

    def average_gradients(self, parameters: Iterable[nn.Parameter], loss: float) -> float:
        """Replace every gradient by its mean over all processes, in one exchange; the mean of their losses."""
        if self.world == 1:
            return loss
        gradients = [p.grad for p in parameters if p.grad is not None]
        flat = torch.cat([*(g.flatten() for g in gradients), gradients[0].new_tensor([loss])])
        dist.all_reduce(flat)
        flat /= self.world
        offset = 0
        for gradient in gradients:
            gradient.copy_(flat[offset : offset + gradient.numel()].view_as(gradient))
            offset += gradient.numel()
        return float(flat[-1])

    def from_first(self, make: Callable[[], Any]) -> Any:
        """What `make` gives in the first process, for all; JSON-ready. The others wait, and fail where it fails."""
        if self.world == 1:
            return make()
        parcel: list[str | None] = [None]
        try:
            if self.first:
                parcel = [json.dumps(make())]
        finally:
            dist.broadcast_object_list(parcel)
        if parcel[0] is None:
            raise OfaMcuError("the first process of this training failed; its message says why")
        return json.loads(parcel[0])

    def bytes_from_first(self, data: bytes | None) -> bytes | None:
        """The first process's `data`, for all."""
        if self.world == 1:
            return data
        size = torch.tensor([-1 if data is None else len(data)], device=self.device)
        dist.broadcast(size, 0)
        if int(size) < 0:
            return None
        content = torch.empty(int(size), dtype=torch.uint8, device=self.device)
        if self.first and data is not None:
            content.copy_(torch.frombuffer(bytearray(data), dtype=torch.uint8))
        dist.broadcast(content, 0)
        return content.cpu().numpy().tobytes()

    def batch_norm(
        self,
        x: Tensor,
        mean: Tensor | None,
        variance: Tensor | None,
        gamma: Tensor,
        beta: Tensor,
        training: bool,
        momentum: float,
        epsilon: float,
    ) -> Tensor:
        """`F.batch_norm` with the statistics of the whole batch: every process holds an equal share of it."""
        if self.world == 1 or not training:
            return F.batch_norm(x, mean, variance, gamma, beta, training, momentum, epsilon)
        axes = [0, *range(2, x.dim())]
        exact = x.float()
        spread, centre = torch.var_mean(exact, axes, correction=0)
        everyone = _Gather.apply(torch.stack([centre, spread]), self.rank, self.world)
        centres, spreads = everyone[:, 0], everyone[:, 1]
        centre = centres.mean(0)
        spread = spreads.mean(0) + (centres - centre).square().mean(0)
        if mean is not None and variance is not None:
            with torch.no_grad():
                count = self.world * x.numel() // x.shape[1]
                mean.lerp_(centre, momentum)
                variance.lerp_(spread * (count / max(1, count - 1)), momentum)
        scale = gamma * torch.rsqrt(spread + epsilon)
        form = (1, -1, *(1 for _ in axes[1:]))
        return (exact * scale.view(form) + (beta - centre * scale).view(form)).to(x.dtype)


ALONE = Ranks()


def _device(name: str, local_rank: int) -> torch.device:
    found = torch.cuda.device_count()
    if name == "cpu" or (name == "auto" and not found):
        return torch.device("cpu")
    if name not in ("auto", "cuda"):
        raise UsageError(f"there is no device '{name}'; known: auto, cpu, cuda")
    if local_rank >= found:
        raise UsageError(
            f"--device cuda: process {local_rank} of this machine finds {found} CUDA devices; "
            "start as many processes as there are devices, or use --device cpu"
        )
    return torch.device("cuda", local_rank)


@contextmanager
def joined(device: str = "auto") -> Iterator[Ranks]:
    """This process as torchrun started it, joined with the others; alone without torchrun.

    Args:
        device: "cpu", "cuda", or "auto": CUDA where there is a device.

    Raises:
        UsageError: no such device.
    """
    world, rank = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("RANK", "0"))
    chosen = _device(device, int(os.environ.get("LOCAL_RANK", "0")))
    if chosen.type == "cuda":
        torch.cuda.set_device(chosen)
        # a resumed run must take the same sums in the same order
        torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic = False, True
    if world == 1:
        yield Ranks(0, 1, chosen)
        return
    dist.init_process_group("nccl" if chosen.type == "cuda" else "gloo")
    try:
        yield Ranks(rank, world, chosen)
    finally:
        dist.destroy_process_group()
