from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from ofa_mcu.devices import toolchain
from ofa_mcu.devices.toolchain import allows, data_set, examine, machines, package, wanted_scons
from ofa_mcu.profiles import all_profiles
from ofa_mcu.tasks import fashion_mnist
from ofa_mcu.tasks.files import cache_folder


def test_everything_found_has_a_version_and_everything_else_a_remedy() -> None:
    findings = {finding.name: finding for finding in examine()}
    assert findings["python"].found
    assert findings["numpy"].version
    for finding in findings.values():
        assert finding.purpose and finding.remedy
        assert finding.version != ""
        assert not finding.remedy.endswith((" ", ",", ";"))


def test_without_tools_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    findings = {finding.name: finding for finding in examine()}
    for name, command in (
        ("arm-none-eabi-gcc", "apt-get install gcc-arm-none-eabi"),
        ("newlib (nano.specs)", "apt-get install libnewlib-arm-none-eabi"),
        ("qemu-system-arm", "apt-get install qemu-system-arm"),
    ):
        assert not findings[name].found
        assert findings[name].remedy == command
    assert not findings["QEMU machines"].found


def test_every_dependency_of_the_package_is_looked_for() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    named = {re.split(r"[^\w-]", text, maxsplit=1)[0] for text in project["dependencies"]}
    assert "torch" in named
    assert named <= {finding.name for finding in examine()}


def test_the_data_set_may_lie_in_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is found where the task would find it, and only whole."""
    assert toolchain.DATA_SET == fashion_mnist._PACKAGED
    assert set(toolchain.DATA_FILES) == {file.name for file in fashion_mnist._FILES}
    monkeypatch.setattr(toolchain, "DATA_SET", tmp_path / "none")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    cache = tmp_path / "ofa-mcu" / "fashion-mnist"
    assert cache_folder("fashion-mnist") == cache
    cache.mkdir(parents=True)
    for file in toolchain.DATA_FILES:
        assert not data_set().found and "apt-get install" in data_set().remedy
        (cache / file).write_bytes(b"")
    assert data_set().version == str(cache)
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    assert not data_set().found
    (tmp_path / "home" / ".cache").symlink_to(tmp_path)
    assert data_set().version == str(tmp_path / "home/.cache/ofa-mcu/fashion-mnist")


def test_the_scons_that_platformio_wants() -> None:
    """The doctor's command installs the SCons behind PlatformIO's requirement: 4.11.1 is ~4.41101.0 there."""
    from platformio.dependencies import get_core_dependencies

    wanted = wanted_scons()
    assert wanted is not None
    major, minor, patch = map(int, wanted.split("."))
    assert f"{major}.{major}{minor:02}{patch:02}." in get_core_dependencies()["tool-scons"]


def test_another_version_than_is_asked_for_counts_as_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert package("numpy", "arithmetic", {}).version == toolchain.installed("numpy")
    old = package("numpy", "arithmetic", {"numpy": "<1.20,>=1.19"})
    assert not old.found and old.remedy.endswith(
        f"-m pip install 'numpy<1.20,>=1.19' ({toolchain.installed('numpy')} is installed)"
    )
    monkeypatch.setattr(
        "importlib.metadata.requires",
        lambda name: ["numpy<3,>=2.0", "dask[distributed]<2027,>=2025.1; extra == 'all'", "tf_keras<2.22", "bare"],
    )
    asked = {"numpy": "<3,>=2.0", "dask": "<2027,>=2025.1", "tf-keras": "<2.22", "bare": ""}
    assert toolchain.requirements() == asked
    assert allows("<3,>=2.0", "2.4.6") and not allows("<3,>=2.0", "3.0") and allows("no version", "1")
    assert allows("<3,>=2.6", "2.13.0+cpu")


def test_broken_profiles_are_a_finding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.toml").write_text("id =")
    monkeypatch.setenv("OFA_MCU_BOARDS", str(tmp_path))
    findings = {finding.name: finding for finding in examine()}
    broken = findings["board profiles"]
    assert "mine.toml is not valid TOML" in broken.remedy and broken.purpose == "the board mine"
    assert "QEMU machines" in findings and "uploader stlink" in findings
    monkeypatch.setenv("OFA_MCU_BOARDS", str(tmp_path / "none"))
    findings = {finding.name: finding for finding in examine()}
    assert "which is no folder" in findings["board profiles"].remedy
    assert "QEMU machines" not in findings


def test_a_fine_qemu_lacks_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    twins = [profile for profile in all_profiles() if profile.emulator is not None]
    names = sorted({profile.emulator.machine for profile in twins if profile.emulator is not None})
    monkeypatch.setattr(toolchain, "said", lambda *_: "\n".join(f"{name} a machine" for name in names))
    assert machines(twins).remedy == "install a newer QEMU"
    monkeypatch.setattr(toolchain, "said", lambda *_: "\n".join(f"{name} a machine" for name in names[1:]))
    assert machines(twins).remedy == f"install a newer QEMU, this one lacks {names[0]}" and not machines(twins).found


def test_it_imports_no_heavy_package() -> None:
    code = "import sys, ofa_mcu.devices.toolchain as t; t.examine(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
