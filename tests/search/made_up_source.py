"""A small supernet with predictor and pictures on disk, where any process finds them."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from ofa_mcu.search.predictor import save_predictor
from ofa_mcu.supernet.store import save_supernet
from tests.search.made_up import labels_of, predictor_of
from tests.space.spaces import TINY
from tests.supernet.networks import lively_supernet
from tests.training.made_up import quarters

__all__ = ["TASK", "write_pictures", "write_supernet"]

TASK = "image-folder:size=12,colour=grey,flip=no"


def write_pictures(folder: Path, count: int = 160) -> Path:
    """Grey pictures of four classes, 12x12."""
    made = quarters(count, 5)
    for number, (image, label) in enumerate(zip(made.inputs, made.labels, strict=True)):
        path = folder / "abcd"[label] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image[:, :, 0]).save(path)
    return folder


def write_supernet(folder: Path) -> Path:
    """An untrained supernet of the space TINY; its predictor knows a formula."""
    folder.mkdir(parents=True, exist_ok=True)
    save_supernet(folder / "supernet.npz", lively_supernet(0), {"task": TASK})
    save_predictor(folder / "predictor.json", predictor_of(TINY), labels_of(TINY, 120))
    return folder
