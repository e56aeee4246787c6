from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from ofa_mcu.devices.toolchain import examine, wanted_scons


def test_everything_found_has_a_version_and_everything_else_a_remedy() -> None:
    findings = {finding.name: finding for finding in examine()}
    assert findings["python"].found
    assert findings["numpy"].version
    for finding in findings.values():
        assert finding.purpose and finding.remedy
        assert finding.version != ""


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


def test_the_scons_that_platformio_wants() -> None:
    """The doctor's command installs the SCons behind PlatformIO's requirement: 4.11.1 is ~4.41101.0 there."""
    from platformio.dependencies import get_core_dependencies

    wanted = wanted_scons()
    assert wanted is not None
    major, minor, patch = map(int, wanted.split("."))
    assert f"{major}.{major}{minor:02}{patch:02}." in get_core_dependencies()["tool-scons"]


def test_it_imports_no_heavy_package() -> None:
    code = "import sys, ofa_mcu.devices.toolchain as t; t.examine(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
