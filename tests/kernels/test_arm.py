"""The kernels as the cross compiler sees them: warnings, calls, stack."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.kernels.toolchain import ARM_CORES, WARNINGS, build, kernel_include, kernel_sources, needs_arm

pytestmark = needs_arm

FLAGS = ("-O2", "-std=gnu11", *WARNINGS, "-ffunction-sections", "-fdata-sections", "-fstack-usage", "-c")

# The deepest chains of calls; the compiler may inline any part of them.
CHAINS = [
    ("ofa_pointwise", "product"),
    ("ofa_fully_connected", "product"),
    ("ofa_conv2d", "output_pixel", "window_product"),
    ("ofa_conv2d", "output_pixel", "ofa_add_padding"),
    ("ofa_depthwise", "output_pixel", "window_product"),
    ("ofa_depthwise", "output_pixel", "channel_product"),
    ("ofa_depthwise", "output_pixel", "ofa_add_padding"),
    ("ofa_add",),
    ("ofa_mean",),
]


@pytest.fixture(scope="module", params=ARM_CORES)
def objects(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp(request.param)
    for source in kernel_sources():
        target = folder / f"{source.stem}.o"
        build("arm-none-eabi-gcc", ARM_CORES[request.param], *FLAGS, f"-I{kernel_include()}", source, "-o", target)
    return folder


def test_kernels_call_nothing_foreign(objects: Path) -> None:
    names = build("arm-none-eabi-nm", (), "--undefined-only", *sorted(objects.glob("*.o")))
    called = set(re.findall(r" U (\S+)", names))
    helpers = {"memcpy", "memset"}
    if "m0plus" in objects.name:
        # The division of a mean; never a 64-bit multiplication.
        helpers |= {"__aeabi_idiv"}
    assert {name for name in called if not name.startswith("ofa_")} <= helpers


def test_kernels_have_no_data(objects: Path) -> None:
    sizes = build("arm-none-eabi-size", ("-A",), *sorted(objects.glob("*.o")))
    for section, size in re.findall(r"^(\.(?:data|bss|rodata)\S*)\s+(\d+)", sizes, re.MULTILINE):
        assert int(size) == 0, section


def test_stack_stays_inside_its_documented_bound(objects: Path) -> None:
    frames: dict[tuple[str, str], int] = {}
    for report in objects.glob("*.su"):
        for line in report.read_text().splitlines():
            where, size, kind = line.split("\t")
            assert kind == "static", line
            frames[report.stem, where.rsplit(":", 1)[1]] = int(size)
    everywhere = {name: size for (_, name), size in frames.items() if name.startswith("ofa_")}
    for chain in CHAINS:
        file = "ofa_pointwise" if chain[0] == "ofa_fully_connected" else chain[0]
        used = sum(frames.get((file, name), everywhere.get(name, 0)) for name in chain)
        assert used > 0, chain
        assert used <= 320, (chain, used)
