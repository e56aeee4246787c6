"""What PlatformIO itself makes of the projects: its parser of platformio.ini, its reader of board manifests."""

from __future__ import annotations

import json
import os
import shlex
from pathlib import Path

import pytest
from platformio.platform.board import PlatformBoardConfig
from platformio.platform.factory import PlatformFactory
from platformio.project.config import ProjectConfig

from ofa_mcu.devices.project import Project, write_project
from ofa_mcu.profiles import BoardProfile, all_profiles
from tests.devices import tiny

PLATFORMS = {
    "espressif32",
    "https://github.com/maxgerhardt/platform-raspberrypi.git",
    "nordicnrf52",
    "raspberrypi",
    "ststm32",
    "teensy",
}


@pytest.fixture(autouse=True)
def no_settings_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("PLATFORMIO_")]:
        monkeypatch.delenv(name)


@pytest.fixture(params=all_profiles(), ids=lambda profile: profile.id)
def board(request: pytest.FixtureRequest) -> BoardProfile:
    profile: BoardProfile = request.param
    return profile


@pytest.fixture
def project(board: BoardProfile, tmp_path: Path) -> Project:
    return write_project(tmp_path / "project", board, tiny.model_files())


def test_its_parser_takes_every_option(project: Project, board: BoardProfile) -> None:
    config = ProjectConfig(str(project.folder / "platformio.ini"))
    assert config.validate(silent=True) and config.warnings == []
    environments = [name for name in (project.emulated_environment, project.board_environment) if name]
    assert config.envs() == environments and config.default_envs() == environments[:1]
    if project.emulated_environment:
        options = config.items(env=project.emulated_environment, as_dict=True)
        assert options["board"] == project.emulated_environment
        assert options["platform"].startswith("symlink://") and options["platform"].endswith("/platform/ofabaremetal")
    names = board.platformio
    if names is None:
        return
    options = config.items(env=board.id, as_dict=True)
    assert (options["platform"], options["board"]) == (names.platform, names.board)
    assert (options["framework"], options["upload_protocol"]) == ([names.framework], names.upload_protocol)
    assert options["monitor_speed"] == 115200 and names.platform in PLATFORMS
    flags = shlex.split(" ".join(options["build_flags"]))
    own = shlex.split(" ".join(names.build_flags))
    pin = [] if board.marker_pin is None else [f"-DOFA_MARKER_PIN={board.marker_pin}"]
    assert flags == ["-O2", f'-DOFA_BOARD="{board.id}"', "-DOFA_STACK_BYTES=2048", *pin, *own]
    assert options["extra_scripts"] == ["post:platform/build_flags.py"]
    assert {name: options[name] for name in names.options} == dict(names.options)


def test_its_reader_finds_the_twins_manifest(project: Project, board: BoardProfile) -> None:
    if board.emulator is None:
        assert not (project.folder / "boards").exists()
        return
    manifest = PlatformBoardConfig(str(project.folder / "boards" / f"{project.emulated_environment}.json"))
    brief = manifest.get_brief_data()
    assert (brief["ram"], brief["rom"]) == (board.sram_bytes, board.emulator.flash_bytes or board.flash_bytes)
    assert brief["fcpu"] == board.emulator.systick_hz and manifest.get("platforms") == ["ofabaremetal"]


@pytest.mark.parametrize(
    "own", [p for p in all_profiles() if p.platformio and p.platformio.manifest], ids=lambda profile: profile.id
)
def test_a_board_that_its_platform_lacks_is_found_by_it(
    own: BoardProfile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A platform of the name that knows no boards finds the manifest that the project brings along."""
    project = write_project(tmp_path / "project", own, tiny.model_files())
    names = own.platformio
    assert names is not None
    platform = tmp_path / names.platform
    platform.mkdir()
    about = {"name": names.platform, "version": "1.0.0", "title": "", "description": "", "engines": {}}
    (platform / "platform.json").write_text(json.dumps({**about, "frameworks": {names.framework: {}}, "packages": {}}))
    monkeypatch.chdir(project.folder)
    found = PlatformFactory.new(str(platform)).board_config(names.board)
    brief = found.get_brief_data()
    assert (brief["name"], brief["platform"], brief["frameworks"]) == (own.name, names.platform, [names.framework])
    assert (brief["ram"], brief["rom"], brief["fcpu"]) == (own.ram_bytes, own.flash_bytes, own.clock_hz)
    assert found.get("build.cpu") == own.core and found.get("upload.protocol") == names.upload_protocol
    assert names.upload_protocol in found.get("upload.protocols")
