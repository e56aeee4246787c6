from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from ofa_mcu.devices.build import build_project
from ofa_mcu.devices.edits import MANIFEST
from ofa_mcu.devices.elf import read_image
from ofa_mcu.devices.project import Project, write_project
from ofa_mcu.errors import UsageError
from ofa_mcu.profiles import all_profiles, load_profile
from tests.devices import tiny


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_every_board_has_its_environments(tmp_path: Path) -> None:
    for profile in all_profiles():
        project = write_project(tmp_path / profile.id, profile, tiny.model_files())
        text = (project.folder / "platformio.ini").read_text()
        environments = re.findall(r"^\[env:(.+)\]$", text, re.MULTILINE)
        assert environments == [name for name in (project.emulated_environment, project.board_environment) if name]
        if profile.platformio is not None:
            assert f"board = {profile.platformio.board}\n" in text
        if profile.emulator is not None:
            manifest = json.loads((project.folder / "boards" / f"{project.emulated_environment}.json").read_text())
            assert manifest["upload"] == {
                "maximum_ram_size": profile.sram_bytes,
                "maximum_size": profile.emulator.flash_bytes or profile.flash_bytes,
            }


def test_the_same_model_gives_the_same_files(tmp_path: Path) -> None:
    profile = load_profile("stm32f746")
    one, two = (write_project(tmp_path / name, profile, tiny.model_files()).folder for name in "ab")
    assert files(one) == files(two)
    assert not any(str(tmp_path).encode() in data for data in files(one).values())


def test_the_firmware_is_told_the_crc_of_its_sources(tmp_path: Path) -> None:
    profile, model = load_profile("stm32f746"), tiny.model_files()
    one = write_project(tmp_path / "a", profile, model)
    assert f"#define OFA_IMAGE_CRC32 0x{one.image_crc32:08X}u\n" in (one.folder / "src" / "image.h").read_text()
    others = [
        write_project(tmp_path / "b", profile, {**model, "ofa_model.c": model["ofa_model.c"] + "\n"}),
        write_project(tmp_path / "c", profile, model, 4096),
        write_project(tmp_path / "d", load_profile("stm32f767"), model),
    ]
    assert len({project.image_crc32 for project in (one, *others)}) == 4


def test_a_project_replaces_its_predecessor_and_nothing_else(tmp_path: Path) -> None:
    profile = load_profile("rp2040")
    folder = tmp_path / "project"
    write_project(folder, profile, {**tiny.model_files(), "old.c": ""})
    write_project(folder, profile, tiny.model_files())
    assert not (folder / "src/model/old.c").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["project"]
    other = tmp_path / "thesis"
    other.mkdir()
    (other / "chapter.txt").write_text("years of work")
    with pytest.raises(UsageError, match="holds no PlatformIO project"):
        write_project(other, profile, tiny.model_files())
    assert (other / "chapter.txt").read_text() == "years of work"


def change(folder: Path) -> None:
    (folder / "src/main.c").write_text("/* mine */\n")


def add(folder: Path) -> None:
    (folder / "src/notes.c").write_text("")


def remove(folder: Path) -> None:
    (folder / "src/model/ofa_model.c").unlink()


def forget(folder: Path) -> None:
    """As a project of an older version, which had no manifest."""
    (folder / MANIFEST).unlink()


def spoil(folder: Path) -> None:
    (folder / MANIFEST).write_text("[")


def link(folder: Path) -> None:
    (folder / "lib/mine").symlink_to(folder.parent)


@pytest.mark.parametrize("edit", [change, add, remove, forget, spoil, link])
def test_an_edited_project_is_moved_aside(tmp_path: Path, edit: Callable[[Path], None]) -> None:
    profile, folder = load_profile("rp2040"), tmp_path / "project"
    first = write_project(folder, profile, tiny.model_files())
    assert first.set_aside is None
    pristine = files(folder)
    for number in (1, 2):
        edit(folder)
        before = files(folder)
        again = write_project(folder, profile, tiny.model_files())
        assert again.set_aside == tmp_path / f"project-edited-{number}"
        assert files(again.set_aside) == before
        assert files(folder) == pristine
    assert write_project(folder, profile, tiny.model_files()).set_aside is None
    assert sorted(path.name for path in tmp_path.iterdir()) == ["project", "project-edited-1", "project-edited-2"]


def test_an_empty_folder_is_no_edited_project(tmp_path: Path) -> None:
    (tmp_path / "project").mkdir()
    assert write_project(tmp_path / "project", load_profile("rp2040"), {}).set_aside is None
    assert [path.name for path in tmp_path.iterdir()] == ["project"]


def test_a_project_that_cannot_be_replaced_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    profile, folder = load_profile("rp2040"), tmp_path / "project"
    write_project(folder, profile, tiny.model_files())
    change(folder)
    before = files(folder)

    def rename(source: Path, target: Path, real: Callable[[Path, Path], None] = os.rename) -> None:
        if source.name == "new":
            raise OSError("no space left on device")
        real(source, target)

    monkeypatch.setattr(os, "rename", rename)
    with pytest.raises(OSError, match="no space left"):
        write_project(folder, profile, tiny.model_files())
    assert [path.name for path in tmp_path.iterdir()] == ["project"]
    assert files(folder) == before


@pytest.mark.slow
def test_a_build_is_no_edit(tmp_path: Path) -> None:
    build_project(tiny.tiny_project(tmp_path, "m4"))
    assert tiny.tiny_project(tmp_path, "m4").set_aside is None


def test_a_project_is_complete_or_not_there(tmp_path: Path) -> None:
    with pytest.raises(TypeError):
        write_project(tmp_path / "project", load_profile("rp2040"), {"ofa_model.c": 7})  # type: ignore[dict-item]
    assert list(tmp_path.iterdir()) == []


def test_a_board_that_nothing_can_build(tmp_path: Path) -> None:
    profile = replace(load_profile("rp2040"), platformio=None, emulator=None)
    with pytest.raises(UsageError, match="nothing can be built"):
        write_project(tmp_path / "project", profile, {})


@pytest.mark.parametrize("stack", [0, -16, 100])
def test_the_stack_reserve_is_checked(tmp_path: Path, stack: int) -> None:
    with pytest.raises(UsageError, match="multiple of 16"):
        write_project(tmp_path / "project", load_profile("rp2040"), {}, stack)


@pytest.mark.slow
def test_a_project_is_self_contained(tmp_path: Path) -> None:
    """Copied elsewhere, the original gone, it builds to the same image."""
    project = tiny.tiny_project(tmp_path / "first", "m7")
    here = build_project(project)
    elsewhere = tmp_path / "a folder with spaces" / "copy"
    shutil.copytree(project.folder, elsewhere, ignore=shutil.ignore_patterns(".pio"))
    first = here.elf.with_suffix(".bin").read_bytes()
    shutil.rmtree(tmp_path / "first")
    there = build_project(Project(elsewhere, project.board, project.emulated_environment, None))
    assert there.elf.with_suffix(".bin").read_bytes() == first


@pytest.mark.slow
def test_the_stack_reserve_is_linked(tmp_path: Path) -> None:
    project = write_project(tmp_path / "project", tiny.twin_profile("m4"), tiny.model_files(), 4096)
    assert read_image(build_project(project).elf).sram[".stack"] == 4096
