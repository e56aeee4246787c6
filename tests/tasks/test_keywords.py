"""Keywords from packed archives and from folders of words."""

from __future__ import annotations

import csv
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest
import soundfile

from ofa_mcu.errors import OfaMcuError, UsageError
from ofa_mcu.tasks.audio.frontend import features
from ofa_mcu.tasks.audio.recordings import noise_parts, official_part, speaker_of
from ofa_mcu.tasks.audio.sounds import read_sound
from ofa_mcu.tasks.audio.speech_commands import read_folders
from ofa_mcu.tasks.keywords import KEYWORDS
from ofa_mcu.tasks.task import Dataset
from tests.tasks.audio.files import tone, write_folder

WORDS = {"bed": 300.0, "cat": 500.0, "down": 800.0, "go": 1300.0}


def load(folder: Path, options: str = "") -> tuple[tuple[str, ...], Dataset]:
    task = KEYWORDS.named(f"keywords:{options}" if options else "keywords", folder)
    return task.labels, task.load(folder)


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("words")
    write_folder(root, WORDS, 60)
    return root


def add_noise(root: Path, seconds: float = 40.0) -> None:
    (root / "_background_noise_").mkdir()
    noise = np.random.default_rng(0).normal(0, 0.1, round(seconds * 16_000))
    soundfile.write(root / "_background_noise_" / "hum.wav", noise, 16_000)


@pytest.fixture(scope="module")
def packed(data_dir: Path) -> tuple[tuple[str, ...], Dataset]:
    return load(data_dir / "kws_gsc1_en")


@pytest.mark.slow
def test_the_packed_set_has_the_classes_and_clips_its_readme_says(packed: tuple[tuple[str, ...], Dataset]) -> None:
    labels, data = packed
    assert labels == ("down", "eight", "five", "go", "left", "one", "right", "up", "zero", "unknown", "silence")
    assert len(data.test) == 638 and set(data.test.labels.tolist()) == set(range(10))
    assert set(data.validation.labels.tolist()) == set(range(10))
    assert np.bincount(data.train.labels)[10] == round((len(data.train) - np.bincount(data.train.labels)[10]) / 10)
    assert data.test.inputs.shape[1:] == (49, 10, 1)
    assert {name: set(split.labels.tolist()) for name, split in data.apart.items()} == {
        "silence (validation)": {10},
        "silence (test)": {10},
    }


def test_packed_parts_share_no_speaker_and_keep_to_the_official_test(data_dir: Path) -> None:
    speakers: dict[str, set[str]] = {}
    for name in ("core", "extra"):
        with (data_dir / "kws_gsc1_en" / f"index_{name}.csv").open() as file:
            for row in csv.DictReader(file):
                speakers.setdefault(row["split"], set()).add(row["speaker"])
                assert speaker_of(row["file"]) == row["speaker"]
                if official_part(row["file"]) == 2:
                    assert row["split"] == "test", row
    assert not speakers["train"] & speakers["test"] and not speakers["train"] & speakers["val"]
    assert not speakers["val"] & speakers["test"]


@pytest.mark.slow
def test_packed_clips_are_the_files(data_dir: Path, packed: tuple[tuple[str, ...], Dataset]) -> None:
    """The features of a test clip are those of its file, read on its own."""
    with tarfile.open(data_dir / "kws_gsc1_en" / "kws_gsc1_en_core.tar") as archive:
        stream = archive.extractfile("index.csv")
        assert stream is not None
        rows = list(csv.DictReader(stream.read().decode().splitlines()))
        row = next(row for row in rows if row["split"] == "test" and int(row["n_samples"]) < 16_000)
        sound = archive.extractfile(row["file"])
        assert sound is not None
        samples = read_sound(sound.read())
    assert len(samples) == int(row["n_samples"])
    padded = np.zeros((1, 16_000), np.int16)
    padded[0, : len(samples)] = samples
    assert (packed[1].test.inputs == features(padded)).all(axis=(1, 2, 3)).any()


def test_the_official_rule_splits_by_speaker() -> None:
    parts = [official_part(f"bed/{speaker:08x}_nohash_0.wav") for speaker in range(3000)]
    assert [official_part(f"{speaker:08x}_nohash_7.flac") for speaker in range(3000)] == parts
    assert [official_part(f"cat/cat_{speaker:08x}_nohash_0.flac") for speaker in range(3000)] == parts
    named = [official_part(f"bed/clip {i}.wav") for i in range(3000)]
    assert 0.07 < named.count(1) / 3000 < 0.13 and 0.07 < named.count(2) / 3000 < 0.13
    assert 0.07 < parts.count(1) / 3000 < 0.13 and 0.07 < parts.count(2) / 3000 < 0.13


def test_folders_are_split_by_rule(words: Path) -> None:
    labels, data = load(words)
    assert labels == ("bed", "cat", "down", "go")
    files = list(words.rglob("*.wav"))
    for part, split in ((0, data.train), (1, data.validation), (2, data.test)):
        assert len(split.labels) == sum(official_part(path.name) == part for path in files)


def test_folders_are_split_by_the_lists(words: Path, tmp_path: Path) -> None:
    root = shutil.copytree(words, tmp_path / "listed")
    names = sorted(path.relative_to(root).as_posix() for path in root.rglob("*.wav"))
    (root / "validation_list.txt").write_text("\n".join(names[::10]) + "\n")
    (root / "testing_list.txt").write_text("\r\n".join(names[1::10]))
    _, data = load(root)
    assert (len(data.train), len(data.validation), len(data.test)) == (192, 24, 24)
    (root / "testing_list.txt").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(OfaMcuError, match=r"testing_list.txt cannot be read .*remove both lists"):
        load(root)


def test_other_words_are_unknown_and_as_many_as_a_word(words: Path) -> None:
    labels, data = load(words, "words=go+bed")
    assert labels == ("go", "bed", "unknown")
    counts = np.bincount(data.train.labels)
    assert counts[2] == round((counts[0] + counts[1]) / 2)
    recordings = read_folders(words, ("go", "bed"))
    unknown = [word for word in recordings.words if word not in ("go", "bed")]
    assert abs(unknown.count("cat") - unknown.count("down")) <= 3
    labels, data = load(words, "words=go+bed,unknown=no")
    assert labels == ("go", "bed") and set(data.train.labels.tolist()) == {0, 1}


def test_the_ten_commands_are_chosen_where_they_are(tmp_path: Path) -> None:
    names = ["yes", "no", "up", "down", "left", "right", "on", "off", "stop", "go", "bed", "cat"]
    for name in names:
        (tmp_path / name).mkdir()
        (tmp_path / name / "00000000_nohash_0.wav").write_bytes(b"")
    assert KEYWORDS.named("keywords", tmp_path).labels == (*names[:10], "unknown")


def test_noise_makes_a_class_that_is_tested_apart(words: Path, tmp_path: Path) -> None:
    root = shutil.copytree(words, tmp_path / "noisy")
    add_noise(root)
    labels, data = load(root)
    assert labels[-1] == "silence"
    assert (data.train.labels == 4).sum() == round((data.train.labels != 4).sum() / 4)
    assert 4 not in data.validation.labels and 4 not in data.test.labels
    assert [len(split) for split in data.apart.values()] == [10, 10]
    assert load(root, "silence=no")[0] == ("bed", "cat", "down", "go")


def test_stretches_of_noise_do_not_meet() -> None:
    noise = np.arange(-30_000, 30_000).astype(np.int16).repeat(10)
    train, validation, test = noise_parts([noise, noise[:16_000]])
    assert len(train) == 2 and len(validation) == len(test) == 1
    assert train[0].max() < validation[0].min() and validation[0].max() < test[0].min()
    assert len(train[0]) > 0.6 * len(noise)


def test_broken_files_are_left_out_and_named(words: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = shutil.copytree(words, tmp_path / "broken")
    victim = next(path for path in sorted((root / "go").iterdir()) if official_part(path.name) == 0)
    victim.write_bytes(b"nothing")
    (root / "go" / "notes.txt").write_text("no sound")
    whole, data = load(words)[1], load(root)[1]
    assert len(data.train) == len(whole.train) - 1
    assert f"skipped 1 of 240 sound files: 1 no readable sound (go/{victim.name})" in capsys.readouterr().err


def test_mistakes_are_told_in_a_sentence(words: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match=r"has the words bed, cat, down, go; name some, each once"):
        KEYWORDS.named("keywords:words=go+stop", words)
    with pytest.raises(UsageError, match="unknown and silence are classes of their own"):
        KEYWORDS.named("keywords:words=go+silence", words)
    with pytest.raises(UsageError, match="one class only, go"):
        KEYWORDS.named("keywords:words=go,unknown=no", words)
    with pytest.raises(UsageError, match="is no folder"):
        KEYWORDS.named("keywords", tmp_path / "gone")
    with pytest.raises(OfaMcuError, match=r"has no folder of \.wav or \.flac files .* --data-dir"):
        KEYWORDS.named("keywords", tmp_path)
    monkeypatch.delenv("OFA_MCU_DATA", raising=False)
    without = KEYWORDS.named("keywords", None)
    assert without.labels[-2:] == ("unknown", "silence")
    with pytest.raises(UsageError, match=r"needs its data: .*--data-dir; download Speech Commands"):
        without.load(None)
    for word in ("on", "off"):
        (tmp_path / word).mkdir()
        soundfile.write(tmp_path / word / "00000000_nohash_0.wav", tone(400), 16_000)
    with pytest.raises(OfaMcuError, match=r"has no (train|validation|test) clips"):
        load(tmp_path)
    (tmp_path / "kws_gsc1_en_core.tar").write_bytes(b"no archive")
    with pytest.raises(OfaMcuError, match=r"kws_gsc1_en_core.tar is no archive of sounds .*copy it again"):
        load(tmp_path)
