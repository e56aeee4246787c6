"""Batches: a function of seed and step, every image once an epoch, shifted and mirrored alike at every resolution."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch

from ofa_mcu.tasks.resample import INPUT_SCALE, INPUT_ZERO_POINT, resample, to_codes
from ofa_mcu.tasks.task import Augmentation, Split, Task
from ofa_mcu.training.data import ImageSet, TrainingStream
from tests.training.made_up import DATA, QUARTERS

STILL = dataclasses.replace(QUARTERS, augmentation=Augmentation())


def numbered(count: int, size: int = 12) -> ImageSet:
    """Images that are their own number, everywhere; labels, too."""
    images = np.broadcast_to(np.arange(count, dtype=np.uint8)[:, None, None, None], (count, size, size, 1))
    return ImageSet(Split(np.ascontiguousarray(images), np.arange(count)), (size,))


def test_inputs_are_what_the_int8_network_is_fed() -> None:
    images = ImageSet(DATA.train, (8, 12))
    for resolution in (8, 12):
        codes = to_codes(resample(DATA.train.inputs, resolution))
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
    mirrored = one_pixel(dataclasses.replace(STILL, augmentation=Augmentation(flip=True)), (12,)).batch(0).at(12)
    assert places(mirrored) == {(5, 3), (5, 8)}
    assert 150 < int(mirrored[:, 0, 5, 8].sum()) < 250


def test_what_leaves_the_picture_is_black() -> None:
    images = np.full((50, 4, 4, 1), 255, np.uint8)
    stream = TrainingStream(QUARTERS, ImageSet(Split(images, np.zeros(50, np.int64)), (4,)), 50, 0)
    counts = {int(image.sum()) for image in stream.batch(0).at(4)}
    assert counts == {16, 12, 9}  # not shifted, along one axis, along both


def test_all_resolutions_see_the_same_augmentation() -> None:
    task = dataclasses.replace(QUARTERS, augmentation=Augmentation(flip=True, shift=(2, 2)))
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


def test_cutout_covers_a_square_of_the_task_s_size_anywhere() -> None:
    task = dataclasses.replace(QUARTERS, augmentation=Augmentation(cutout=4, fill=0))
    white = np.full((300, 12, 12, 1), 255, np.uint8)
    stream = TrainingStream(task, ImageSet(Split(white, np.zeros(300, np.int64)), (6, 12)), 300, 0)
    large, small = (stream.batch(0).at(size)[:, 0] == 0 for size in (12, 6))
    for hole in large:
        rows, columns = hole.any(1).nonzero().flatten(), hole.any(0).nonzero().flatten()
        assert torch.equal(hole, hole.any(1)[:, None] & hole.any(0)[None])  # a rectangle
        for span in (rows, columns):  # of four, but for what the border cuts off
            assert torch.equal(span, torch.arange(int(span[0]), int(span[-1]) + 1))
            assert len(span) == 4 or (len(span) in (2, 3) and (span[0] == 0 or span[-1] == 11))
    assert bool(large.any(0).all())  # every place is hit some time
    assert bool((small.sum((1, 2)) > 0).all()) and abs(float(large.float().mean() - small.float().mean())) < 0.02
    grey = dataclasses.replace(task, augmentation=Augmentation(cutout=4, fill=128))
    batch = TrainingStream(grey, ImageSet(Split(white, np.zeros(300, np.int64)), (12,)), 300, 0).batch(0).at(12)
    assert set(torch.round(batch * 255).unique().tolist()) == {128.0, 255.0}


def test_shifts_along_time_alone_and_with_another_byte() -> None:
    """A window of sensor data moves in time, and what enters is not black but the code of zero."""
    ramp = np.arange(20, 36, dtype=np.uint8)[None, None, :, None]
    window = np.broadcast_to(ramp, (200, 1, 16, 2))
    task = dataclasses.replace(QUARTERS, augmentation=Augmentation(shift=(0, 3), fill=128))
    stream = TrainingStream(task, ImageSet(Split(window, np.zeros(200, np.int64)), ((1, 16), (1, 8))), 200, 0)
    shown = torch.round(stream.batch(0).at(16) * 255).to(torch.int64)
    assert shown.shape == (200, 2, 1, 16) and torch.equal(shown[:, 0], shown[:, 1])
    kinds = {tuple(one[0, 0].tolist()) for one in shown}
    values, fill = list(range(20, 36)), [128] * 3
    assert kinds == {tuple((fill + values + fill)[3 + s : 19 + s]) for s in range(-3, 4)}
    assert stream.batch(0).at(8).shape == (200, 2, 1, 8)


def test_fixed_widths_are_resampled_along_rows_only() -> None:
    inputs = np.random.default_rng(0).integers(0, 256, (5, 12, 4, 2), dtype=np.uint8)
    images = ImageSet(Split(inputs, np.zeros(5, np.int64)), ((12, 4), (6, 4)))
    assert np.array_equal(images.bytes_at(12).numpy().transpose(0, 2, 3, 1), inputs)
    pairs = inputs.reshape(5, 6, 2, 4, 2).astype(int).sum(2)
    assert np.array_equal(images.bytes_at(6).numpy().transpose(0, 2, 3, 1), (pairs + 1) // 2)


class Growing:
    """Examples that are one brighter in every epoch, and by the seed's number once."""

    labels = np.arange(40, dtype=np.int64) % 4
    inputs = np.full((40, 12, 12, 1), 7, np.uint8)
    class_weights = None

    def __len__(self) -> int:
        return 40

    def first(self, count: int) -> Split:
        return Split(self.inputs[:count], self.labels[:count])

    def epoch(self, seed: int, epoch: int) -> Split:
        return Split(self.inputs + np.uint8(10 * seed + epoch + 1), self.labels)


def test_examples_are_made_anew_for_every_epoch_and_calibration_sees_the_clean_ones() -> None:
    images = ImageSet(Growing(), (6, 12))
    stream = TrainingStream(STILL, images, 8, 3)
    for step in (0, 4, 5, 12, 3):  # back again, too, as a resumed run may ask
        for size in (6, 12):
            shown = torch.round(stream.batch(step).at(size) * 255).to(torch.int64)
            assert set(shown.unique().tolist()) == {7 + 30 + step // 5 + 1}
    assert set(images.bytes_at(12).unique().tolist()) == {7}
    plain = ImageSet(DATA.train, (12,))
    assert plain.epoch(0, 5) is plain  # nothing is resampled again where nothing changes
