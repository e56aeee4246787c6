"""Any folder of class folders of pictures: any format, any size, grey or colour."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ofa_mcu.errors import OfaMcuError, UsageError
from ofa_mcu.tasks.files import Arrays, cached, folder_of
from ofa_mcu.tasks.folders import (
    SMALLEST_CLASS,
    ClassFiles,
    Skipped,
    class_weights,
    named_below,
    parts_of,
    printable,
    tell_once,
)
from ofa_mcu.tasks.folders import scan as scan_folders
from ofa_mcu.tasks.options import TaskKind
from ofa_mcu.tasks.pictures import SUFFIXES, UnusablePicture, grey, header, picture, squared
from ofa_mcu.tasks.task import Augmentation, Dataset, Split, Task

__all__ = ["IMAGE_FOLDER", "PERSON", "ImageFolderOptions"]

_SIDES = (8, 224)
_USUAL_SIDE = 96  # the largest that is chosen unasked
_LOOKED_AT = 200  # pictures whose size is looked at to choose one
_SHUFFLE_SEED = 11
_WHAT = "pictures"


@dataclass(frozen=True)
class ImageFolderOptions:
    """How pictures become inputs.

    `size`: side of the square, pixels; chosen from the data, 96 at most. `colour`: auto, grey or rgb; auto is grey
    where all pictures are. `fit`: crop takes the middle square of a picture, stretch all of it. `flip`: whether a
    mirrored picture shows the same. `balance`: whether rare classes weigh more in the loss.
    """

    size: int | None = None
    colour: str = "auto"
    fit: str = "crop"
    flip: bool = True
    balance: bool = True


def _checked(options: ImageFolderOptions, name: str) -> None:
    for key, value, known in (
        ("colour", options.colour, ("auto", "grey", "rgb")),
        ("fit", options.fit, ("crop", "stretch")),
    ):
        if value not in known:
            raise UsageError(f"option {key} of task '{name}' is '{value}'; give {' or '.join(known)}")
    if options.size is not None and not _SIDES[0] <= options.size <= _SIDES[1]:
        raise UsageError(f"option size of task '{name}' is {options.size}; give {_SIDES[0]} to {_SIDES[1]} pixels")


def _shape(options: ImageFolderOptions, found: ClassFiles, root: Path) -> tuple[int, int, int]:
    """Size and channels, asked for or chosen: the smaller side of the median picture, in steps of 8 beyond 32."""
    every = [path for files in found.files.values() for path in files]
    seen = []
    for path in every[:: -(-len(every) // _LOOKED_AT)]:
        try:
            seen.append(header(path))
        except UnusablePicture:
            continue  # told when all are read
    if not seen:
        raise OfaMcuError(f"none of the pictures in {printable(root)} can be read; look at one of them")
    middle = int(np.median([min(height, width) for height, width, _ in seen]))
    chosen = min(middle if middle <= 32 else middle // 8 * 8, _USUAL_SIDE)
    side = options.size or max(chosen, _SIDES[0])
    single = options.colour == "grey" or (options.colour == "auto" and all(one for _, _, one in seen))
    return side, side, 1 if single else 3


def _decode(root: Path, files: Sequence[Path], shape: tuple[int, int, int], crop: bool) -> Arrays:
    """Images of the readable files under "images", their numbers (int64) under "kept", words on the others ("said")."""
    skipped = Skipped(_WHAT)

    def read(path: Path) -> np.ndarray | str:
        try:
            image = picture(path)
        except UnusablePicture as error:
            return str(error)
        if shape[2] == 1:
            image = grey(image)
        elif image.shape[2] == 1:
            image = np.repeat(image, 3, axis=2)
        return squared(image, shape[0], crop)

    images, kept = [], []
    with ThreadPoolExecutor() as pool:
        for number, found in enumerate(pool.map(read, files)):
            if isinstance(found, str):
                skipped.add(named_below(files[number], root), found)
            else:
                images.append(found)
                kept.append(number)
    stacked = np.stack(images) if images else np.empty((0, *shape), np.uint8)
    said = skipped.summary(len(files), root).encode() if skipped.count else b""
    return {
        "images": stacked,
        "kept": np.frombuffer(np.array(kept, "<i8").tobytes(), np.uint8),
        "said": np.frombuffer(said, np.uint8),
    }


def _images(root: Path, found: ClassFiles, options: ImageFolderOptions, shape: tuple[int, int, int]) -> Arrays:
    """As `_decode`, kept between runs."""
    from PIL import __version__

    files = [path for paths in found.files.values() for path in paths]
    lines = [str(root.resolve()), __version__, str(shape), options.fit]
    for path in files:
        state = path.stat()
        lines.append(f"{named_below(path, root)} {state.st_size} {state.st_mtime_ns}")
    key = hashlib.sha256("\n".join(lines).encode("utf-8", "surrogateescape")).hexdigest()[:32]
    return cached("image-folder", key, lambda: _decode(root, files, shape, options.fit == "crop"))


def _load(
    root: Path, labels: tuple[str, ...], options: ImageFolderOptions, shape: tuple[int, int, int], name: str
) -> Dataset:
    found = scan_folders(root, SUFFIXES, _WHAT)
    if tuple(found.files) != labels:
        raise OfaMcuError(
            f"{printable(root)} has the classes {', '.join(map(printable, found.files))}, and the task has "
            f"{', '.join(map(printable, labels))}; name the folder that the task was made for"
        )
    arrays = _images(root, found, options, shape)
    if arrays["said"].size:
        tell_once(arrays["said"].tobytes().decode())
    kept = np.frombuffer(arrays["kept"].tobytes(), "<i8")
    every = [(label, path) for label, paths in found.files.items() for path in paths]
    readable = [every[number] for number in kept]
    numbers = np.array([labels.index(label) for label, _ in readable], np.int64)
    parts = np.zeros(len(readable), np.int64)
    for index, label in enumerate(labels):
        own = np.flatnonzero(numbers == index)
        if len(own) < SMALLEST_CLASS:
            raise OfaMcuError(
                f"class {printable(label)} in {printable(root)} has {len(own)} readable pictures and {SMALLEST_CLASS} "
                "are needed, one for each of training, validation and test; add some or take the folder away"
            )
        paths = [readable[i][1] for i in own]
        given = None if found.parts is None else [found.parts[path] for path in paths]
        parts[own] = parts_of([named_below(path, root) for path in paths], given)
        if not (parts[own] == 0).any():
            raise OfaMcuError(f"class {printable(label)} in {printable(root)} has no pictures to train on; add some")
    train = np.random.default_rng(_SHUFFLE_SEED).permutation(np.flatnonzero(parts == 0))
    held, tested = np.flatnonzero(parts == 1), np.flatnonzero(parts == 2)
    tell_once(
        f"{printable(root)}: {len(readable)} pictures of {len(labels)} classes as {shape[0]}x{shape[1]} "
        f"{'grey' if shape[2] == 1 else 'colour'}: {len(train)} to train, {len(held)} validation, {len(tested)} test"
    )
    images = arrays["images"]
    weights = class_weights(numbers[train], len(labels)) if options.balance else None
    return Dataset(
        Split(images[train], numbers[train], weights),
        Split(images[held], numbers[held]),
        Split(images[tested], numbers[tested]),
    )


def _make(name: str, options: ImageFolderOptions, data_dir: Path | None) -> Task:
    _checked(options, name)
    root = folder_of(name, data_dir)
    found = scan_folders(root, SUFFIXES, _WHAT)
    labels, shape = tuple(found.files), _shape(options, found, root)
    reach = max(1, shape[0] // 12)
    return Task(
        name=name,
        labels=labels,
        shape=shape,
        load=lambda folder: _load(folder or root, labels, options, shape, name),
        licence="that of the pictures in the folder",
        augmentation=Augmentation(flip=options.flip, shift=(reach, reach)),
    )


def _make_person(name: str, options: ImageFolderOptions, data_dir: Path | None) -> Task:
    task = _make(name, options, data_dir)
    if set(task.labels) != {"person", "non_person"}:
        raise OfaMcuError(
            f"{printable(data_dir)} has the classes {', '.join(map(printable, task.labels))}; task 'person' wants the "
            "folders person and non_person, as MLPerf Tiny's script makes them from COCO (vw_coco2014_96)"
        )
    return task


IMAGE_FOLDER = TaskKind("image-folder", ImageFolderOptions, _make)
PERSON = TaskKind("person", ImageFolderOptions, _make_person)
"""Visual wake words: is a person to be seen (Chowdhery et al. 2019)? An image folder with two classes."""
