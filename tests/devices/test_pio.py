"""PlatformIO as a child: what it is told, where it may work, when it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from platformio.package.meta import PackageSpec

from ofa_mcu.devices import pio
from ofa_mcu.devices.build import build_project
from ofa_mcu.devices.emulator import die_with_parent
from ofa_mcu.devices.project import Project
from ofa_mcu.errors import UsageError
from tests.devices import tiny

CORE = "PLATFORMIO_CORE_DIR"
PARENT = """
from pathlib import Path
from ofa_mcu.devices.build import build_project
from tests.devices import tiny
build_project(tiny.tiny_project(Path({folder!r}), "m4"))
"""


def test_of_the_users_settings_only_the_core_folder_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLATFORMIO_SRC_DIR", "/elsewhere")
    monkeypatch.setenv("PLATFORMIO_BUILD_DIR", "/elsewhere")
    monkeypatch.setenv("PLATFORMIO_BUILD_FLAGS", "-DSURPRISE")
    monkeypatch.setenv("NOT_PLATFORMIO", "kept")
    told = pio.settings(tmp_path, None)
    assert {name for name in told if name.startswith("PLATFORMIO_")} == {CORE, *pio.QUIET}
    assert told[CORE] == str(tmp_path)
    assert told["NOT_PLATFORMIO"] == "kept" and told["PATH"] == os.environ["PATH"]
    assert pio.settings(tmp_path, tmp_path / "out")["PLATFORMIO_BUILD_DIR"] == str(tmp_path / "out")


def test_where_packages_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = tiny.tiny_project(tmp_path, "m4")
    assert project.emulated_environment is not None and project.board_environment is not None
    monkeypatch.delenv(CORE, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert pio.core_dir(project, project.emulated_environment) == project.folder / ".pio" / "core"
    assert pio.core_dir(project, project.board_environment) == tmp_path / ".platformio"
    monkeypatch.chdir(tmp_path)
    for own in ("own", "~/own"):
        monkeypatch.setenv(CORE, own)
        assert pio.core_dir(project, project.emulated_environment) == tmp_path / "own"


def test_a_core_folder_that_cannot_be_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = tiny.tiny_project(tmp_path, "m4")
    file = tmp_path / "file"
    file.write_text("no folder")

    def started(*_: object, **__: object) -> None:
        raise AssertionError("PlatformIO was started")

    monkeypatch.setattr(subprocess, "Popen", started)
    for place in (file, file / "below"):
        monkeypatch.setenv(CORE, str(place))
        with pytest.raises(UsageError, match=f"^PlatformIO cannot keep its packages in {place} .* set {CORE} to a"):
            build_project(project)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_core_folder_that_is_read_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = tiny.tiny_project(tmp_path, "m4")
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o500)
    for place in (locked, locked / "below"):
        monkeypatch.setenv(CORE, str(place))
        with pytest.raises(UsageError, match=f"in {place} \\(Permission denied\\)"):
            build_project(project)


@pytest.mark.parametrize(
    ("platform", "installed"),
    [
        ("ststm32", True),
        ("platformio/ststm32@~19.6.0", True),
        ("teensy", False),
        ("https://github.com/maxgerhardt/platform-raspberrypi.git", True),
        ("https://example.com/platform-raspberrypi.git", False),
    ],
)
def test_what_would_be_fetched(platform: str, installed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CORE, str(tmp_path / "core"))
    folder = tmp_path / "core" / "platforms"
    (folder / "ststm32").mkdir(parents=True)
    (folder / "raspberrypi").mkdir()
    spec = PackageSpec("https://github.com/maxgerhardt/platform-raspberrypi.git")
    (folder / "raspberrypi" / ".piopm").write_text(json.dumps({"name": "raspberrypi", "spec": spec.as_dict()}))
    project = Project(tmp_path / "project", "b", None, "b")
    assert pio.missing_platform(project, "b", platform) is not installed


@pytest.mark.slow
@pytest.mark.skipif(not die_with_parent(), reason="needs setpriv")
def test_platformio_dies_with_its_parent(tmp_path: Path) -> None:
    """The parent is killed, which leaves it no time to clean up."""
    command = [sys.executable, "-c", PARENT.format(folder=str(tmp_path))]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as parent:
        try:
            deadline = time.monotonic() + 60
            while not (started := running(tmp_path, b"scons")) and time.monotonic() < deadline:
                assert parent.poll() is None
                time.sleep(0.02)
            assert started
        finally:
            parent.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 3
    while running(tmp_path) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not running(tmp_path)


def running(folder: Path, word: bytes = b"") -> list[int]:
    """Processes whose command line names the folder and has the word in it: PlatformIO, its SCons, its compilers."""
    found = []
    for place in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = place.read_bytes()
        except OSError:
            continue
        if os.fsencode(folder) in words and word in words:
            found.append(int(place.parent.name))
    return found
