"""Folders of pictures in every form that people keep them in, and in forms that they should not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ofa_mcu.errors import OfaMcuError, UsageError
from ofa_mcu.space.presets import space_for
from ofa_mcu.tasks.folders import tell_once
from ofa_mcu.tasks.pictures import UnusablePicture, grey, picture, squared
from ofa_mcu.tasks.registry import task_named
from ofa_mcu.tasks.resample import resample
from ofa_mcu.tasks.task import Dataset, Split


def painted(label: int, number: int, size: tuple[int, int] = (40, 40)) -> np.ndarray:
    """A picture (H, W, 3) of a class's colour with noise."""
    rng = np.random.default_rng((label, number))
    colour = np.random.default_rng(label).integers(40, 215, 3)
    return np.clip(colour + rng.integers(-30, 31, (*size, 3)), 0, 255).astype(np.uint8)


def write_class(root: Path, label: str, index: int, count: int = 8, size: tuple[int, int] = (40, 40)) -> None:
    (root / label).mkdir(parents=True, exist_ok=True)
    for number in range(count):
        Image.fromarray(painted(index, number, size)).save(root / label / f"{number:03}.png")


def parts(data: Dataset) -> list[Split]:
    train = data.train
    assert isinstance(train, Split)
    return [train, data.validation, data.test]


def test_bytes_are_those_of_the_files_in_integers(tmp_path: Path) -> None:
    for index, label in enumerate(("red", "blue")):
        write_class(tmp_path, label, index, 20, (50, 70))
    task = task_named("image-folder", tmp_path)
    assert (task.labels, task.shape) == (("blue", "red"), (48, 48, 3))
    data = task.load(tmp_path)
    assert [len(part) for part in parts(data)] == [28, 6, 6]
    wanted = {}
    for label, index in (("blue", 1), ("red", 0)):
        for number in range(20):
            middle = painted(index, number, (50, 70))[:, 10:60]
            wanted[resample(middle[None], 48)[0].tobytes()] = task.labels.index(label)
    seen = set()
    for part in parts(data):
        for one, label in zip(part.inputs, part.labels, strict=True):
            assert wanted[one.tobytes()] == label
            seen.add(one.tobytes())
    assert len(seen) == 40  # nothing in two parts
    stretched = task_named("image-folder:fit=stretch,size=32,colour=grey", tmp_path).load(tmp_path)
    luma = (painted(1, 0, (50, 70)).astype(int) @ [19595, 38470, 7471] + 32768) >> 16
    own = resample(luma.astype(np.uint8)[None, ..., None], (32, 32))[0]
    assert any(np.array_equal(one, own) for part in parts(stretched) for one in part.inputs)


def test_grey_is_what_pillow_makes_of_it() -> None:
    image = np.random.default_rng(0).integers(0, 256, (200, 300, 3), np.uint8)
    assert np.array_equal(grey(image)[..., 0], np.asarray(Image.fromarray(image).convert("L")))


def test_a_crop_is_the_middle() -> None:
    image = np.arange(7 * 4, dtype=np.uint8).reshape(7, 4, 1)
    assert np.array_equal(squared(image, 4, crop=True), image[1:5])
    assert squared(image, 4, crop=False).shape == (4, 4, 1)


def test_every_kind_of_picture_is_read(tmp_path: Path) -> None:
    """Palettes, transparency, 16 bits, bilevel, CMYK, animations, turned by EXIF: as what one sees of them."""
    image = Image.fromarray(painted(0, 0))
    deep = (np.asarray(image.convert("L")).astype(np.uint16) << 8) + 77
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by 90 degrees to be seen upright
    image.save(tmp_path / "plain.bmp")
    image.quantize(256).save(tmp_path / "palette.png")
    image.convert("RGBA").save(tmp_path / "clear.png")
    image.convert("CMYK").save(tmp_path / "print.tif")
    image.convert("L").save(tmp_path / "grey.png")
    image.convert("1").save(tmp_path / "bilevel.png")
    Image.fromarray(deep).save(tmp_path / "deep.png")
    image.save(tmp_path / "moving.gif", save_all=True, append_images=[Image.new("RGB", (40, 40))])
    Image.fromarray(painted(0, 0, (30, 50))).save(tmp_path / "turned.jpg", exif=exif, quality=95)
    image.save(tmp_path / "web.webp", lossless=True)
    found = {path.name: picture(path) for path in tmp_path.iterdir()}
    for name in ("plain.bmp", "clear.png", "web.webp"):
        assert np.array_equal(found[name], np.asarray(image)), name
    assert np.array_equal(found["grey.png"][..., 0], np.asarray(image.convert("L")))
    assert np.array_equal(found["deep.png"], found["grey.png"])
    assert set(np.unique(found["bilevel.png"])) == {0, 255}
    for name in ("palette.png", "moving.gif", "print.tif"):
        assert found[name].shape == (40, 40, 3)
        assert np.abs(found[name].astype(int) - np.asarray(image)).mean() < 25, name
    assert found["turned.jpg"].shape == (50, 30, 3)


def test_a_folder_as_people_keep_it(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Damaged and foreign files, tiny classes, empty folders, names in any script, sizes mixed: said, and served."""
    for index, label in enumerate(("Äpfel", "梨", "plain")):
        write_class(tmp_path, label, index, 9, (30 + 20 * index, 64))
    write_class(tmp_path, "lonely", 3, 1)
    (tmp_path / "empty").mkdir()
    (tmp_path / ".hidden").mkdir()
    (tmp_path / "notes.txt").write_text("about these pictures")
    (tmp_path / "plain" / "notes.txt").write_text("about these")
    (tmp_path / "plain" / "sub").mkdir()
    Image.fromarray(painted(2, 77)).save(tmp_path / "plain" / "sub" / "deeper.JPG")
    whole = (tmp_path / "plain" / "001.png").read_bytes()
    (tmp_path / "plain" / "cut.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "plain" / "no.jpg").write_bytes(b"\0" * 500)
    (tmp_path / "Äpfel" / "none.png").write_bytes(b"")
    task = task_named("image-folder", tmp_path)
    assert task.labels == ("plain", "Äpfel", "梨")
    assert task.shape == (48, 48, 3)
    data = task.load(tmp_path)
    said = capfd.readouterr().err
    assert "lonely (1)" in said and "empty (0)" in said and "a class needs 3 pictures" in said
    assert "skipped 3 of 31 pictures: 2 that are no pictures" in said and "1 damaged (plain/cut.png)" in said
    assert "1 ending in .txt (plain/notes.txt)" in said and "28 pictures of 3 classes as 48x48 colour" in said
    assert sum(len(part) for part in parts(data)) == 28 and "Traceback" not in said
    for part in parts(data):
        assert set(part.labels.tolist()) == {0, 1, 2}
    tell_once.cache_clear()  # as another process
    again = task.load(tmp_path)  # from what was kept, and still told
    assert np.array_equal(again.train.inputs, data.train.inputs)
    assert "skipped 3 of 31 pictures" in capfd.readouterr().err
    (tmp_path / "plain" / "cut.png").write_bytes(whole)  # what changed is read anew
    assert sum(len(part) for part in parts(task.load(tmp_path))) == 29


def test_rare_classes_weigh_more(tmp_path: Path) -> None:
    write_class(tmp_path, "often", 0, 40)
    write_class(tmp_path, "rare", 1, 10)
    data = task_named("image-folder", tmp_path).load(tmp_path)
    weights, labels = data.train.class_weights, data.train.labels
    assert weights is not None and weights[1] > 3 * weights[0]
    totals = np.bincount(labels) * weights
    assert totals[0] == pytest.approx(totals[1]) and totals.sum() == pytest.approx(len(labels))
    assert task_named("image-folder:balance=no", tmp_path).load(tmp_path).train.class_weights is None
    assert data.test.class_weights is None
    for part in (data.validation, data.test):
        assert set(part.labels.tolist()) == {0, 1}


def test_parts_that_folders_give_stay(tmp_path: Path) -> None:
    for part, count in (("train", 10), ("val", 4), ("test", 5)):
        for index, label in enumerate("ab"):
            write_class(tmp_path / part, label, index + 2 * count, count)
    data = task_named("image-folder", tmp_path).load(tmp_path)
    assert [len(part) for part in parts(data)] == [20, 8, 10]
    for part, split in (("val", data.validation), ("test", data.test)):
        for label in "ab":
            for path in (tmp_path / part / label).iterdir():
                assert any(np.array_equal(picture(path), one) for one in split.inputs)
    other = tmp_path / "other"
    for part, count in (("train", 20), ("test", 5)):
        for index, label in enumerate("ab"):
            write_class(other / part, label, index + 2 * count, count)
    lengths = [len(part) for part in parts(task_named("image-folder", other).load(other))]
    assert lengths[2] == 10 and lengths[0] + lengths[1] == 40 and lengths[1] == 8  # validation from what trains


@pytest.mark.parametrize(
    ("mode", "side", "shape"),
    [("L", 28, (28, 28, 1)), ("RGB", 64, (64, 64, 3)), ("RGB", 300, (96, 96, 3)), ("L", 5, (8, 8, 1))],
)
def test_size_and_colour_follow_from_the_pictures(tmp_path: Path, mode: str, side: int, shape: tuple[int, ...]) -> None:
    for index, label in enumerate("ab"):
        (tmp_path / label).mkdir()
        for number in range(3):
            image = Image.fromarray(painted(index, number, (side, side + 7)))
            image.convert(mode).save(tmp_path / label / f"{number}.png")
    assert task_named("image-folder", tmp_path).shape == shape
    assert task_named("image-folder:size=40,colour=rgb", tmp_path).shape == (40, 40, 3)
    assert task_named("image-folder:colour=grey", tmp_path).load(tmp_path).train.inputs.shape[3] == 1
    assert task_named("image-folder:colour=rgb", tmp_path).load(tmp_path).train.inputs.shape[3] == 3


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("image-folder:size=4", "give 8 to 224 pixels"),
        ("image-folder:colour=blue", "give auto or grey or rgb"),
        ("image-folder:fit=pad", "give crop or stretch"),
        ("image-folder:flip=maybe", "give yes or no"),
    ],
)
def test_wrong_options_are_refused(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        task_named(text, tmp_path)


def test_folders_without_classes_are_refused_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="needs its data: name the folder with --data-dir"):
        task_named("image-folder")
    with pytest.raises(UsageError, match="is no folder"):
        task_named("image-folder", tmp_path / "nowhere")
    with pytest.raises(OfaMcuError, match="has no folders of pictures"):
        task_named("image-folder", tmp_path)
    write_class(tmp_path, "one", 0)
    with pytest.raises(OfaMcuError, match="put the pictures .* of each of two or more classes"):
        task_named("image-folder", tmp_path)
    write_class(tmp_path, "two", 1, 2)
    with pytest.raises(OfaMcuError, match=r"has too few pictures in two \(2\)") as caught:
        task_named("image-folder", tmp_path)
    assert "\n" not in str(caught.value)
    for path in (tmp_path / "one").iterdir():
        path.write_bytes(b"none")
    write_class(tmp_path, "two", 1, 4)
    task = task_named("image-folder", tmp_path)
    with pytest.raises(OfaMcuError, match="class one in .* has 0 readable pictures and 3 are needed"):
        task.load(tmp_path)
    write_class(tmp_path, "three", 2)
    with pytest.raises(OfaMcuError, match="has the classes one, three, two, and the task has one, two"):
        task.load(tmp_path)


def test_floating_point_pictures_are_left_out(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((9, 9), np.float32)).save(tmp_path / "height.tif")
    with pytest.raises(UnusablePicture, match="floating-point"):
        picture(tmp_path / "height.tif")


def test_person_is_the_layout_of_mlperfs_script(tmp_path: Path) -> None:
    for index, label in enumerate(("non_person", "person")):
        write_class(tmp_path / "vw", label, index, 6, (96, 96))
        write_class(tmp_path / "pets", label.replace("person", "dog"), index, 6)
    task = task_named("person", tmp_path / "vw")
    assert (task.name, task.labels, task.shape) == ("person", ("non_person", "person"), (96, 96, 3))
    with pytest.raises(OfaMcuError, match="wants the folders person and non_person"):
        task_named("person", tmp_path / "pets")


@pytest.mark.slow
def test_twenty_classes_of_photographs(data_dir: Path, tmp_path: Path) -> None:
    """Real photographs in twenty folders, at 64x64 and in several formats, and a space made for them."""
    from ofa_mcu.tasks.cifar10 import CIFAR10

    real = CIFAR10.load(data_dir / "cifar10_jpeg").test
    endings = ("png", "jpg", "bmp", "webp")
    for number, (image, label) in enumerate(zip(real.inputs[:800], real.labels[:800], strict=True)):
        folder = tmp_path / "photos" / f"{CIFAR10.labels[label]} {'day' if number // 10 % 2 else 'night'}"
        folder.mkdir(parents=True, exist_ok=True)
        shown = image if number // 10 % 2 else image // 3
        large = Image.fromarray(shown).resize((64 + number % 5, 64), Image.Resampling.BILINEAR)
        large.save(folder / f"{number}.{endings[number % 4]}")
    task = task_named("image-folder", tmp_path / "photos")
    assert len(task.labels) == 20 and task.shape == (64, 64, 3)
    data = task.load(tmp_path / "photos")
    assert sum(len(part) for part in parts(data)) == 800
    space = space_for(task.name, task.shape, len(task.labels))
    assert space.classes == 20 and max(space.resolutions) == 64
    dark = np.array(["night" in task.labels[label] for label in data.test.labels])
    assert data.test.inputs[dark].mean() < 0.5 * data.test.inputs[~dark].mean()
