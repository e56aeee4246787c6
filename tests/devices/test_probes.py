"""Probes cover what the spaces use, and fit the smallest board in few images."""

from __future__ import annotations

import numpy as np
import pytest

from ofa_mcu.codegen.bundle import MOST, emit_bundle
from ofa_mcu.devices.probes import flash_of, held_out, pack, probes, room_of
from ofa_mcu.errors import OfaMcuError
from ofa_mcu.planning.core_model import core_model, core_of
from ofa_mcu.planning.plan import make_plan
from ofa_mcu.profiles import load_profile
from ofa_mcu.space.lowering import shape_graph
from ofa_mcu.space.presets import SPACES

MOST_IMAGES = 24


def test_few_images_do_for_the_smallest_board() -> None:
    board = load_profile("stm32f103")
    room = room_of(board)
    fitted, held = list(probes(board)), list(held_out(board))
    networks = [*fitted, *held]
    assert len(fitted) > 56 and len(held) >= 6
    assert len({one.graph.structure.name for one in networks}) == len(networks)
    images = pack(networks, room, MOST)
    assert len(images) <= MOST_IMAGES
    assert sorted(number for image in images for number in image) == list(range(len(networks)))
    for image in images:
        assert sum(flash_of(networks[number]) for number in image) <= room.flash
        assert max(networks[number].cost.arena_bytes for number in image) <= room.arena
    assert max(map(len, pack(networks, room, 5))) == 5


@pytest.mark.parametrize("board", ["rp2040", "stm32f446", "mps3_an547"])
def test_every_kernel_of_weight_is_probed(board: str) -> None:
    """What takes at least 3 % of some subnet is in some probe."""
    profile = load_profile(board)
    figures = core_model(core_of(profile))
    probed = {layer.kernel for one in probes(profile, 2) for layer in one.cost.layers}
    for space in SPACES.values():
        for subnet in space.sample_balanced(np.random.default_rng(1), 6):
            plan = make_plan(shape_graph(space, subnet), figures)
            total = sum(one.instructions for one in plan.ways)
            weighty = {one.way.kernel for one in plan.ways if one.instructions > 0.03 * total}
            assert weighty <= probed, (space.name, subnet)


def test_the_same_probes_again_and_firmware_of_its_own_for_every_salt() -> None:
    board = load_profile("stm32f746")
    first, again = list(probes(board, 1)), list(probes(board, 1))
    one, other = emit_bundle(first, "probes", "a"), emit_bundle(again, "probes", "a")
    assert one == other
    assert emit_bundle(first, "probes", "b").crc32 != one.crc32
    assert f"0x{one.crc32:08x}u" in one.files["ofa_model.h"]
    with pytest.raises(OfaMcuError, match="a bundle has 1 to 255 networks, not 256"):
        emit_bundle((first * 16)[:256], "probes")
