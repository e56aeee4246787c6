"""Depthwise convolution, on processors with a gradient of wide kernels several times faster than torch's own."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["depthwise_conv2d"]

_FAST_WIDTH = 3
"""Columns of a kernel for which oneDNN has a fast gradient of depthwise weights, whatever the rows."""


def depthwise_conv2d(x: Tensor, weight: Tensor, stride: tuple[int, int], padding: tuple[int, int]) -> Tensor:
    """Filters every channel by itself: inputs (N, C, H, W), weights (C, 1, rows, columns)."""
    if x.device.type == "cpu" and weight.shape[3] > _FAST_WIDTH and weight.requires_grad:
        result: Tensor = _WideKernel.apply(x, weight, stride, padding)
        return result
    return F.conv2d(x, weight, None, stride, padding, 1, x.shape[1])


class _WideKernel(torch.autograd.Function):
    """The same convolution; its weights' gradient is taken for three columns at a time."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, stride: tuple[int, int], padding: tuple[int, int]) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.stride, ctx.padding = stride, padding
        return F.conv2d(x, weight, None, stride, padding, 1, x.shape[1])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        x, weight = ctx.saved_tensors
        (gradient,) = gradients
        channels, _, rows, columns = weight.shape
        above, beside = ctx.padding
        options: Any = ([1, 1], False, [0, 0], channels)
        of_input: Tensor | None = None
        of_weight: Tensor | None = None
        if ctx.needs_input_grad[0]:
            of_input = torch.ops.aten.convolution_backward(
                gradient, x, weight, None, ctx.stride, ctx.padding, *options, [True, False, False]
            )[0]
        if ctx.needs_input_grad[1]:
            of_weight = torch.empty_like(weight)
            for first in range(0, columns, _FAST_WIDTH):
                start = min(first, columns - _FAST_WIDTH)  # the last block overlaps the one before
                # what these columns see: the input without what lies left and right of their reach
                seen = F.pad(x, (beside - start, beside - (columns - _FAST_WIDTH - start)))
                block = weight.new_empty(channels, 1, rows, _FAST_WIDTH)
                of_weight[..., start : start + _FAST_WIDTH] = torch.ops.aten.convolution_backward(
                    gradient, seen, block, None, ctx.stride, [above, 0], *options, [False, True, False]
                )[1]
        return of_input, of_weight, None, None
