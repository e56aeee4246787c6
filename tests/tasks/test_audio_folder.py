"""Any folder of sounds: rates, lengths and formats; broken files, small classes, odd names."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from ofa_mcu.errors import OfaMcuError, UsageError
from ofa_mcu.tasks.audio.speech_commands import read_packed
from ofa_mcu.tasks.audio.splitting import split_files
from ofa_mcu.tasks.audio_folder import AUDIO_FOLDER
from ofa_mcu.tasks.task import Dataset
from tests.tasks.audio.files import tone, write_folder

TONES = {"hoch": 2500.0, "tief": 300.0}


def load(folder: Path, options: str = "") -> tuple[tuple[str, ...], Dataset]:
    task = AUDIO_FOLDER.named(f"audio-folder:{options}" if options else "audio-folder", folder)
    data = task.load(folder)
    assert data.test.inputs.shape[1:] == task.shape
    return task.labels, data


def nearest_centroid(data: Dataset, seed: int = 0) -> float:
    """Share of test clips whose features are nearest to the training mean of their class, augmented training clips."""
    train = data.train.epoch(seed, 0)
    flat, test = (part.inputs.reshape(len(part), -1).astype(float) for part in (train, data.test))
    centres = np.stack([flat[train.labels == label].mean(axis=0) for label in np.unique(train.labels)])
    found = ((test[:, None] - centres[None]) ** 2).sum(axis=2).argmin(axis=1)
    return float((found == data.test.labels).mean())


def ridge(data: Dataset) -> float:
    """Share of test clips that ridge regression on clean training clips labels right."""

    def rows(inputs: NDArray[np.uint8]) -> NDArray[np.float64]:
        return np.asarray((inputs.reshape(len(inputs), -1) - 128.0) / 32.0)

    known, wanted = rows(data.train.inputs), np.eye(int(data.train.labels.max()) + 1)[data.train.labels]
    weights = np.linalg.solve(known.T @ known + len(known) * np.eye(known.shape[1]), known.T @ (wanted - 1 / 3))
    return float(((rows(data.test.inputs) @ weights).argmax(axis=1) == data.test.labels).mean())


@pytest.mark.parametrize(
    ("rate", "kind", "seconds", "options", "columns"),
    [(8_000, "wav", 0.5, "", 49), (44_100, "flac", 2.5, "length=1.5", 74), (16_000, "wav", 0.3, "length=0.25", 12)],
)
def test_sounds_of_any_rate_and_length_are_told_apart(
    tmp_path: Path, rate: int, kind: str, seconds: float, options: str, columns: int
) -> None:
    write_folder(tmp_path, TONES, 30, rate=rate, kind=kind, seconds=seconds)
    labels, data = load(tmp_path, options)
    assert labels == ("hoch", "tief") and data.test.inputs.shape[1] == columns
    assert len(data.train) + len(data.validation) + len(data.test) == 60
    assert nearest_centroid(data) == 1.0


@pytest.mark.slow
def test_spoken_digits_at_8_khz(data_dir: Path, tmp_path: Path) -> None:
    """Real words in another rate, format and layout: a linear classifier hears far more than chance."""
    from scipy.signal import resample_poly

    recordings = read_packed(data_dir / "kws_gsc1_en", extra=False, noise=False)
    for label, word in (("eins", "one"), ("fünf", "five"), ("acht", "eight")):
        (tmp_path / label).mkdir()
        for i in [i for i, spoken in enumerate(recordings.words) if spoken == word][:200]:
            sound = resample_poly(recordings.clips[i] / 32768, 1, 2)
            soundfile.write(tmp_path / label / f"Aufnahme {i}.wav", np.stack([sound, sound], 1), 8_000, subtype="FLOAT")
    labels, data = load(tmp_path)
    assert labels == ("acht", "eins", "fünf") and (len(data.train), len(data.test)) == (420, 90)
    assert ridge(data) > 0.6, "chance is a third, with a standard error of 5 points"


def test_parts_are_stratified_and_share_no_speaker() -> None:
    speakers = [f"{i * 7919 % 2**32:08x}" for i in range(200)]
    classes = {label: [f"{label}/{speaker}_nohash_{i}.wav" for speaker in speakers for i in (0, 1)] for label in "ab"}
    parts, by = split_files(classes)
    assert by == "speaker"
    of = {speaker: {part for name, part in parts.items() if speaker in name} for speaker in speakers}
    assert all(len(found) == 1 for found in of.values())
    for label in "ab":
        counts = np.bincount([parts[name] for name in classes[label]])
        assert (np.abs(counts / counts.sum() - [0.7, 0.15, 0.15]) < 0.02).all()


def test_without_speakers_every_class_is_split_by_file() -> None:
    classes = {label: [f"{label}/{i}.wav" for i in range(count)] for label, count in (("a", 100), ("b", 3), ("c", 7))}
    parts, by = split_files(classes)
    assert by == "file"
    counts = {
        label: np.bincount([parts[name] for name in files], minlength=3).tolist() for label, files in classes.items()
    }
    assert counts == {"a": [70, 15, 15], "b": [1, 1, 1], "c": [5, 1, 1]}
    assert split_files(dict(reversed(classes.items())))[0] == parts


def test_parts_that_folders_give_stay(tmp_path: Path) -> None:
    write_folder(tmp_path / "train", TONES, 20)
    write_folder(tmp_path / "test", TONES, 7)
    labels, data = load(tmp_path)
    assert labels == ("hoch", "tief")
    assert (len(data.train), len(data.validation), len(data.test)) == (32, 8, 14)


def test_speakers_that_cannot_be_kept_apart_are_not() -> None:
    parts, by = split_files({label: [f"{label}/0000000{label}_nohash_{i}.wav" for i in range(9)] for label in "ab"})
    assert by == "file" and set(parts.values()) == {0, 1, 2}


def test_rare_classes_weigh_more(tmp_path: Path) -> None:
    write_folder(tmp_path / "many", {"a": 300.0}, 40)
    write_folder(tmp_path / "few", {"b": 900.0}, 10)
    (tmp_path / "many" / "a").rename(tmp_path / "a")
    (tmp_path / "few" / "b").rename(tmp_path / "b")
    (tmp_path / "many").rmdir()
    (tmp_path / "few").rmdir()
    _, data = load(tmp_path)
    weights = data.train.class_weights
    assert weights is not None
    counts = np.bincount(data.train.labels)
    assert np.allclose(weights * counts, counts.sum() / 2) and weights[1] > 3 * weights[0]


def test_broken_files_small_classes_and_odd_names(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_folder(tmp_path, {"größe": 400.0, "声音": 1500.0}, 12)
    (tmp_path / "größe" / "kaputt.wav").write_bytes(b"RIFF")
    (tmp_path / "größe" / "leer.flac").write_bytes(b"")
    (tmp_path / "声音" / "liesmich.txt").write_text("kein Klang")
    (tmp_path / "leer").mkdir()
    (tmp_path / "einzeln").mkdir()
    soundfile.write(tmp_path / "einzeln" / "a.wav", tone(700), 16_000)
    (tmp_path / ".versteckt").mkdir()
    labels, data = load(tmp_path)
    said = capsys.readouterr().err
    assert labels == ("größe", "声音")
    assert "classes left out: einzeln (1), leer (0); a class needs 3 sound files, one for each of training" in said
    assert "skipped 1 of 28 files: 1 ending in .txt (声音/liesmich.txt)" in said
    assert "skipped 2 of 26 sound files: 2 no readable sound (größe/kaputt.wav, größe/leer.flac)" in said
    assert len(data.train) + len(data.validation) + len(data.test) == 24


def test_mistakes_are_told_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="task 'audio-folder' needs its data: name the folder with --data-dir"):
        AUDIO_FOLDER.named("audio-folder", None)
    with pytest.raises(UsageError, match="gone is no folder"):
        AUDIO_FOLDER.named("audio-folder", tmp_path / "gone")
    with pytest.raises(OfaMcuError, match="has no folders of sound files; put the sound files"):
        AUDIO_FOLDER.named("audio-folder", tmp_path)
    write_folder(tmp_path, {"a": 300.0}, 5)
    (tmp_path / "b").mkdir()
    with pytest.raises(OfaMcuError, match=r"has too few sound files in b \(0\): a class needs 3"):
        AUDIO_FOLDER.named("audio-folder", tmp_path)
    (tmp_path / "b").rmdir()
    write_folder(tmp_path, {"b": 900.0}, 5)
    for length in ("0.01", "60", "nan"):
        with pytest.raises(UsageError, match=r"option length of task .* give 0.1 to 10 seconds"):
            AUDIO_FOLDER.named(f"audio-folder:length={length}", tmp_path)
    for path in sorted((tmp_path / "b").iterdir())[:3]:
        path.write_bytes(b"")
    task = AUDIO_FOLDER.named("audio-folder", tmp_path)
    with pytest.raises(OfaMcuError, match="class b in .* has 2 readable sound files and 3 are needed"):
        task.load(tmp_path)
