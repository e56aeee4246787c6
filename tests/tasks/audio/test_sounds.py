"""Sound files of all kinds, good and bad."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from ofa_mcu.tasks.audio.sounds import UnusableSound, fitted, read_sound
from tests.tasks.audio.files import tone


def test_plain_samples_are_read_as_they_are(tmp_path: Path) -> None:
    samples = np.random.default_rng(0).integers(-32768, 32768, 5000).astype(np.int16)
    for name in ("a.wav", "a.flac"):
        soundfile.write(tmp_path / name, samples, 16_000, subtype="PCM_16")
        assert np.array_equal(read_sound(tmp_path / name), samples)
        assert np.array_equal(read_sound((tmp_path / name).read_bytes()), samples)


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW"])
def test_every_sample_format_gives_the_same_sound(tmp_path: Path, subtype: str) -> None:
    sound = tone(440)
    soundfile.write(tmp_path / "a.wav", sound, 16_000, subtype=subtype)
    error = read_sound(tmp_path / "a.wav") / 32768 - sound
    assert np.abs(error).max() < {"PCM_U8": 0.009, "ULAW": 0.02}.get(subtype, 0.0001)


@pytest.mark.parametrize("rate", [8_000, 11_025, 22_050, 44_100, 48_000])
@pytest.mark.parametrize("kind", ["wav", "flac"])
def test_other_rates_and_channels_give_the_same_tone(tmp_path: Path, rate: int, kind: str) -> None:
    sound = tone(1000, rate=rate)
    soundfile.write(tmp_path / f"a.{kind}", np.stack([sound * 1.5, sound * 0.5], axis=1), rate)
    found = read_sound(tmp_path / f"a.{kind}") / 32768
    assert abs(len(found) - 16_000) <= 1
    spectrum = np.abs(np.fft.rfft(found[2000:14000] * np.hanning(12_000)))
    assert np.argmax(spectrum) * 16_000 / 12_000 == pytest.approx(1000, abs=2)
    assert np.abs(found[2000:14000]).max() == pytest.approx(0.3, abs=0.03)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "no readable sound"),
        (b"RIFF\x24\0\0\0WAVE", "no readable sound"),
        (b"Ganz normaler Text, kein Klang.", "no readable sound"),
        (os.urandom(4000), "no readable sound"),
    ],
)
def test_what_is_no_sound_is_named(tmp_path: Path, data: bytes, reason: str) -> None:
    (tmp_path / "a.wav").write_bytes(data)
    with pytest.raises(UnusableSound, match=reason):
        read_sound(tmp_path / "a.wav")


def test_sounds_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "empty.wav", np.zeros(0), 16_000)
    soundfile.write(tmp_path / "slow.wav", np.zeros(100), 100)
    soundfile.write(tmp_path / "nan.wav", np.full(100, np.nan), 16_000, subtype="FLOAT")
    for name, reason in (("empty", "without a sample"), ("slow", "rate of 100 Hz"), ("nan", "no numbers")):
        with pytest.raises(UnusableSound, match=reason):
            read_sound(tmp_path / f"{name}.wav")
    with pytest.raises(UnusableSound, match="unreadable: No such file"):
        read_sound(tmp_path / "gone.wav")
    with pytest.raises(UnusableSound, match="unreadable: Is a directory"):
        read_sound(tmp_path)


def test_a_flac_file_cut_short_is_named_or_short(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.flac", tone(440), 16_000)
    data = (tmp_path / "a.flac").read_bytes()
    for share in range(1, 10):
        try:
            assert len(read_sound(data[: len(data) * share // 10])) <= 16_000
        except UnusableSound as error:
            assert str(error) in ("no readable sound", "without a sample")


@pytest.mark.parametrize(
    "name", ["größe.wav", "声音.wav", "naïve \U0001f600.wav", b"caf\xe9.wav".decode("utf-8", "surrogateescape")]
)
def test_names_of_any_kind_are_read(tmp_path: Path, name: str) -> None:
    soundfile.write(tmp_path / "a.wav", tone(440), 16_000)
    (tmp_path / "a.wav").rename(tmp_path / name)
    assert len(read_sound(tmp_path / name)) == 16_000


@given(st.integers(1, 300), st.integers(1, 300), st.booleans(), st.integers(0, 99))
@settings(max_examples=80)
def test_fitting_keeps_what_fits(have: int, length: int, centred: bool, seed: int) -> None:
    sound = np.random.default_rng(seed).integers(1, 100, have).astype(np.int16)
    found = fitted(sound, length, centred=centred)
    assert found.shape == (length,) and found.dtype == np.int16
    if have <= length:
        start = (length - have) // 2 if centred else 0
        assert np.array_equal(found[start : start + have], sound) and found.astype(int).sum() == sound.astype(int).sum()
    else:
        assert any(np.array_equal(found, sound[i : i + length]) for i in range(have - length + 1))


def test_the_loudest_stretch_is_kept() -> None:
    sound = np.random.default_rng(0).integers(-20, 20, 80_000).astype(np.int16)
    sound[50_000:58_000] = 3000
    found = fitted(sound, 16_000, centred=True)
    assert (found == 3000).sum() == 8_000
