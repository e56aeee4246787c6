"""What the features of sound carry: MLPerf Tiny's depthwise-separable network, trained alone on the task `keywords`.

python -m benchmarks.keyword_training --data-dir DIR [--epochs 30] [--seed 0] [--mask 0]

One thread, no supernet, no quantization. `--mask M` also hides up to M neighbouring columns of each training example
(SpecAugment, Park et al. 2019).
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ofa_mcu.tasks.registry import task_named
from ofa_mcu.tasks.task import Split

CHANNELS, BLOCKS, BATCH = 64, 4, 64


def network(classes: int) -> nn.Sequential:
    """DS-CNN (Zhang et al. 2017) as MLPerf Tiny has it: 10x4 stem with stride 2, four separable blocks, the mean."""

    def layer(
        inputs: int, kernel: tuple[int, int], stride: int, groups: int, padding: tuple[int, int]
    ) -> list[nn.Module]:
        conv = nn.Conv2d(inputs, CHANNELS, kernel, stride, padding, groups=groups, bias=False)
        return [conv, nn.BatchNorm2d(CHANNELS), nn.ReLU6()]

    layers = layer(1, (10, 4), 2, 1, (5, 1))
    for _ in range(BLOCKS):
        layers += layer(CHANNELS, (3, 3), 1, CHANNELS, (1, 1)) + layer(CHANNELS, (1, 1), 1, 1, (0, 0))
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2), nn.Linear(CHANNELS, classes))


def floats(inputs: NDArray[np.uint8]) -> Tensor:
    """Network inputs (N, 1, T, 10)."""
    return torch.from_numpy(inputs.astype(np.float32) / 255).permute(0, 3, 1, 2)


def accuracy(net: nn.Module, split: Split) -> float:
    """Percent."""
    net.eval()
    with torch.no_grad():
        found = torch.cat([net(floats(split.inputs[i : i + 256])) for i in range(0, len(split), 256)])
    return float((found.argmax(1).numpy() == split.labels).mean()) * 100


def masked(inputs: NDArray[np.uint8], most: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Copies with 0 to `most` neighbouring columns set to the middle byte."""
    out = inputs.copy()
    for example, count in zip(out, rng.integers(0, most + 1, len(out)).tolist(), strict=True):
        start = int(rng.integers(0, len(example) - count + 1))
        example[start : start + count] = 128
    return out


def main() -> None:
    """Train and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, default=None)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--mask", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(options.seed)
    task = task_named("keywords", options.data_dir)
    data = task.load(options.data_dir)
    net = network(len(task.labels))
    weights = sum(p.numel() for p in net.parameters())
    print(f"{len(task.labels)} classes, {len(data.train)} training examples, {weights:,} parameters", flush=True)
    optimizer = torch.optim.SGD(net.parameters(), 0.1, momentum=0.9, weight_decay=3e-4, nesterov=True)
    per_epoch = len(data.train) // BATCH
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.15, total_steps=options.epochs * per_epoch)
    loss_of = nn.CrossEntropyLoss(label_smoothing=0.05)
    begin = time.process_time()
    for epoch in range(options.epochs):
        examples = data.train.epoch(options.seed, epoch)
        rng = np.random.default_rng((options.seed, epoch))
        order = torch.from_numpy(rng.permutation(len(examples)))
        inputs = masked(examples.inputs, options.mask, rng) if options.mask else examples.inputs
        images, labels = floats(inputs), torch.from_numpy(examples.labels)
        net.train()
        for step in range(per_epoch):
            batch = order[step * BATCH : (step + 1) * BATCH]
            optimizer.zero_grad()
            loss = loss_of(net(images[batch]), labels[batch])
            loss.backward()
            optimizer.step()
            schedule.step()
        if epoch % 5 == 4 or epoch == options.epochs - 1:
            parts = {"validation": data.validation, f"test ({len(data.test)} clips)": data.test, **data.apart}
            figures = ", ".join(f"{name} {accuracy(net, split):.2f} %" for name, split in parts.items())
            print(f"epoch {epoch + 1}: {figures}; {time.process_time() - begin:.0f} s of CPU", flush=True)


if __name__ == "__main__":
    main()
