"""The depthwise convolution whose gradients are taken in blocks equals torch's own."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from ofa_mcu.supernet.depthwise import depthwise_conv2d


@pytest.mark.parametrize("kernel", [(3, 3), (5, 5), (7, 7), (1, 5), (5, 1), (10, 4), (1, 9)])
@pytest.mark.parametrize("stride", [(1, 1), (2, 2), (2, 1)])
@pytest.mark.parametrize("padded", [True, False])
def test_outputs_and_gradients_equal_those_of_torch(
    kernel: tuple[int, int], stride: tuple[int, int], padded: bool
) -> None:
    """In double precision, where sums in another order differ by no more than rounding."""
    generator = torch.Generator().manual_seed(hash((kernel, stride)) % 1000)
    padding = (kernel[0] // 2, kernel[1] // 2) if padded else (0, 0)
    x = torch.randn(3, 6, 13, 11, generator=generator, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(6, 1, *kernel, generator=generator, dtype=torch.float64, requires_grad=True)
    ours = depthwise_conv2d(x, weight, stride, padding)
    theirs = F.conv2d(x, weight, None, stride, padding, 1, 6)
    assert torch.equal(ours, theirs)
    gradient = torch.randn(ours.shape, generator=generator, dtype=torch.float64)
    pairs = (torch.autograd.grad(result, (x, weight), gradient) for result in (ours, theirs))
    for found, wanted in zip(*pairs, strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-12, atol=1e-12)
