"""Batches: a function of seed and step, every image once an epoch, shifted and mirrored alike at every resolution."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch

from ofa_mcu.tasks.resample import INPUT_SCALE, INPUT_ZERO_POINT, resample, to_codes
from ofa_mcu.tasks.task import Split, Task
from ofa_mcu.training.data import ImageSet, TrainingStream
from tests.training.made_up import DATA, QUARTERS

STILL = dataclasses.replace(QUARTERS, shift=0)


def numbered(count: int, size: int = 12) -> ImageSet:
    """Images that are their own number, everywhere; labels, too."""
    images = np.broadcast_to(np.arange(count, dtype=np.uint8)[:, None, None, None], (count, size, size, 1))
    return ImageSet(Split(np.ascontiguousarray(images), np.arange(count)), (size,))


def test_inputs_are_what_the_int8_network_is_fed() -> None:
    images = ImageSet(DATA.train, (8, 12))
    for resolution in (8, 12):
        codes = to_codes(resample(DATA.train.images, resolution))
        real = INPUT_SCALE * (codes.astype(np.float64) - INPUT_ZERO_POINT)
        found = images.floats_at(resolution).numpy().transpose(0, 2, 3, 1)
        assert found.shape == real.shape and np.abs(found - real).max() < 1e-6


def test_an_epoch_holds_every_image_once_with_its_label() -> None:
    stream = TrainingStream(STILL, numbered(100), 10, 0)
    assert stream.steps_per_epoch == 10
    orders = []
    for epoch in range(2):
        numbers = []
        for step in range(10):
            batch = stream.batch(10 * epoch + step)
            shown = torch.round(batch.at(12)[:, 0, 5, 5] * 255).to(torch.int64)
            assert torch.equal(shown, batch.labels)
            numbers += batch.labels.tolist()
        assert sorted(numbers) == list(range(100))
        orders.append(numbers)
    assert orders[0] != orders[1]


def test_what_does_not_fill_a_batch_is_left_out() -> None:
    stream = TrainingStream(STILL, numbered(25), 10, 0)
    assert stream.steps_per_epoch == 2
    assert len({*stream.batch(0).labels.tolist(), *stream.batch(1).labels.tolist()}) == 20


def test_a_batch_follows_from_seed_and_step_alone() -> None:
    images = ImageSet(DATA.train, (12,))
    forward, backward = TrainingStream(QUARTERS, images, 32, 5), TrainingStream(QUARTERS, images, 32, 5)
    wanted = [(forward.batch(step).labels, forward.batch(step).at(12)) for step in range(20)]
    for step in reversed(range(20)):
        batch = backward.batch(step)
        assert torch.equal(batch.labels, wanted[step][0]) and torch.equal(batch.at(12), wanted[step][1])
    assert not torch.equal(TrainingStream(QUARTERS, images, 32, 6).batch(0).at(12), wanted[0][1])


def one_pixel(task: Task, resolutions: tuple[int, ...], size: int = 12) -> TrainingStream:
    """Many copies of an image with one bright pixel left of the middle."""
    images = np.zeros((400, size, size, 1), np.uint8)
    images[:, 5, 3] = 255
    return TrainingStream(task, ImageSet(Split(images, np.zeros(400, np.int64)), resolutions), 400, 0)


def places(batch: torch.Tensor) -> set[tuple[int, int]]:
    return {(int(y), int(x)) for image in batch for y, x in image[0].nonzero()}


def test_shifts_reach_as_far_as_the_task_says() -> None:
    assert places(one_pixel(STILL, (12,)).batch(0).at(12)) == {(5, 3)}
    shifted = one_pixel(QUARTERS, (12,)).batch(0).at(12)
    assert places(shifted) == {(y, x) for y in (4, 5, 6) for x in (2, 3, 4)}
    assert torch.all(shifted.flatten(1).sum(1) == 1)  # nothing lost, nothing doubled
    stream = one_pixel(QUARTERS, (12,))
    assert not torch.equal(stream.batch(0).at(12), stream.batch(1).at(12))  # drawn anew for every step


def test_half_of_the_images_are_mirrored_where_the_task_allows_it() -> None:
    mirrored = one_pixel(dataclasses.replace(STILL, flip=True), (12,)).batch(0).at(12)
    assert places(mirrored) == {(5, 3), (5, 8)}
    assert 150 < int(mirrored[:, 0, 5, 8].sum()) < 250


def test_what_leaves_the_picture_is_black() -> None:
    images = np.full((50, 4, 4, 1), 255, np.uint8)
    task = dataclasses.replace(QUARTERS, native_resolution=4)
    stream = TrainingStream(task, ImageSet(Split(images, np.zeros(50, np.int64)), (4,)), 50, 0)
    counts = {int(image.sum()) for image in stream.batch(0).at(4)}
    assert counts == {16, 12, 9}  # not shifted, along one axis, along both


def test_all_resolutions_see_the_same_augmentation() -> None:
    task = dataclasses.replace(QUARTERS, flip=True, shift=2, native_resolution=24)
    images = np.zeros((60, 24, 24, 1), np.uint8)
    images[:, 8:12, 4:8] = 255
    stream = TrainingStream(task, ImageSet(Split(images, np.zeros(60, np.int64)), (12, 24)), 60, 0)
    large, small = stream.batch(0).at(24), stream.batch(0).at(12)

    def centres(batch: torch.Tensor) -> torch.Tensor:
        grid = (torch.arange(batch.shape[2]) + 0.5) / batch.shape[2]
        mass = batch[:, 0].sum((1, 2))
        return torch.stack([(batch[:, 0].sum(2) @ grid) / mass, (batch[:, 0].sum(1) @ grid) / mass], 1)

    # a shift is rounded to whole pixels of the resolution: half a pixel of 12 at most
    assert float((centres(large) - centres(small)).abs().max()) <= 0.5 / 12 + 1e-6
    assert float(centres(large).std(0).min()) > 0.02
