"""The kernels as the cross compiler sees them: warnings, calls, stack."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.kernels.toolchain import ARM_CORES, WARNINGS, build, kernel_include, kernel_sources, needs_arm

pytestmark = [needs_arm, pytest.mark.slow]

FLAGS = ("-O2", "-std=gnu11", *WARNINGS, "-ffunction-sections", "-fdata-sections", "-fstack-usage", "-c")

# The deepest chains of calls; the compiler may inline any part of them.
CHAINS = [
    ("ofa_product", "ofa_dot4_raw"),
    ("ofa_product", "ofa_store_general"),
    ("ofa_product_pairs", "ofa_row_pair", "ofa_dot4_pair"),
    ("ofa_product_pairs", "ofa_row_pair", "ofa_store_channels"),
    ("ofa_conv2d_pairs", "ofa_row_pair", "ofa_dot4_pair"),
    ("ofa_conv2d_pairs", "ofa_row_pair", "ofa_store_general"),
    ("ofa_conv2d_pairs", "ofa_patch", "gather_apart", "ofa_gather_alternate"),
    ("ofa_depthwise", "spread_row"),
    ("ofa_depthwise", "ofa_depthwise_any"),
    ("ofa_depthwise", "ofa_depthwise_7_2"),
    ("ofa_depthwise", "ofa_spread_channels"),
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
    # Floats and the exponentials of softmax need more; nothing for DSP cores or vectors runs on this one.
    needy = ("ofa_float", "ofa_softmax", *(("ofa_dsp", "ofa_mve") if "m0plus" in objects.name else ()))
    integer = [path for path in sorted(objects.glob("*.o")) if not path.stem.startswith(needy)]
    names = build("arm-none-eabi-nm", (), "--undefined-only", *integer)
    called = set(re.findall(r" U (\S+)", names))
    helpers = {"memcpy", "memset"}
    if "m0plus" in objects.name:
        # The divisions of averages; never a 64-bit multiplication.
        helpers |= {"__aeabi_idiv", "__aeabi_uidiv", "__aeabi_uidivmod", "__aeabi_idivmod"}
    assert {name for name in called if not name.startswith("ofa_")} <= helpers


def test_kernels_have_no_data(objects: Path) -> None:
    sizes = build("arm-none-eabi-size", ("-A",), *sorted(objects.glob("*.o")))
    for section, size in re.findall(r"^(\.(?:data|bss|rodata)\S*)\s+(\d+)", sizes, re.MULTILINE):
        assert int(size) == 0, section


def test_stack_stays_inside_its_documented_bound(objects: Path) -> None:
    frames: dict[str, int] = {}
    for report in objects.glob("*.su"):
        for line in report.read_text().splitlines():
            where, size, kind = line.split("\t")
            assert kind in ("static", "dynamic,bounded"), line
            name = where.rsplit(":", 1)[1]
            frames[name] = max(int(size), frames.get(name, 0))
    for chain in CHAINS:
        used = sum(frames.get(name, 0) for name in chain)
        assert used > 0, chain
        assert used <= 448, (chain, used)
