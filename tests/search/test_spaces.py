"""Which width and resolution a board is best served by, and the space that follows."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import spearmanr

from ofa_mcu.errors import UsageError
from ofa_mcu.profiles import load_profile
from ofa_mcu.search.budget import Budget
from ofa_mcu.search.features import Genome
from ofa_mcu.search.spaces import Frame, best_frame, recommended, survey, widened
from ofa_mcu.search.tables import CostTables
from ofa_mcu.space.presets import FASHION_MNIST, GESTURES, KEYWORDS, MCUNET, space_of
from tests.cli.verbs import run
from tests.space.spaces import TINY

BOARD = load_profile("stm32f746")


def test_frames_are_counted_by_the_costs_of_their_subnets() -> None:
    found = survey(TINY, BOARD, 80, seed=4)
    budget = Budget(BOARD, {"sram": 3_400.0, "flash": 24_000.0})
    frames = found.frames(budget)
    assert [(f.resolution, f.width) for f in frames] == [(r, w) for r in TINY.resolutions for w in TINY.widths]
    genome = Genome.of(TINY)
    rng = np.random.default_rng(4)
    genes = rng.integers(0, [len(options) for options in genome.options], (80, len(genome.options)))
    for number, frame in enumerate(frames):
        genes[:, :2] = divmod(number, len(TINY.widths))
        costs = CostTables(TINY, BOARD)(genes, 3_400)
        fits = (costs.sram_bytes <= 3_400) & (costs.flash_bytes <= 24_000)
        assert frame.share == fits.mean()
        assert frame.mean_macs == (pytest.approx(costs.macs[fits].mean()) if fits.any() else 0.0)
        assert list(frame.deciles) == sorted(frame.deciles)
    assert 0 < sum(frame.share for frame in frames) < len(frames)


def test_the_best_frame_does_most_work_and_is_no_rare_fit() -> None:
    frames = [Frame(8, 0.5, 1.0, 5e4, ()), Frame(8, 1.0, 0.5, 9e4, ()), Frame(12, 1.0, 0.01, 3e5, ())]
    assert best_frame(frames) == frames[1]
    assert best_frame([replace(frame, share=0.0) for frame in frames]) is None


def test_a_recommended_space_has_the_best_frames_and_what_is_next_below() -> None:
    wide = widened(FASHION_MNIST)
    assert wide.stages == FASHION_MNIST.stages and max(wide.resolutions) == 28 and len(wide.widths) > 5
    assert widened(GESTURES).resolutions == GESTURES.resolutions
    assert widened(KEYWORDS).resolutions == KEYWORDS.resolutions
    best = [Frame(28, 1.0, 1, 1e6, ()), Frame(20, 0.5, 1, 1e6, ())]
    found = recommended(wide, best)
    assert set(found.resolutions) >= {20, 28} and set(found.widths) >= {0.5, 1.0}
    assert len(found.widths) == 4 and found.size < wide.size


@pytest.mark.slow
def test_the_trend_of_the_published_table() -> None:
    """MCUNet's table 1 (Lin et al. 2020): more flash asks for wider networks at lower resolution, more SRAM for higher
    resolution; our planner needs less memory, so that its frames are larger. With cascades it hardly binds there."""
    space = replace(MCUNET, resolutions=(80, 112, 144, 176, 208), widths=(0.3, 0.4, 0.5, 0.8, 1.0))
    assert MCUNET.size > 10**19
    found = survey(space, BOARD, 100)
    srams, flashes = (192, 256, 320, 384, 448, 512), (512, 768, 1024, 1408, 2048)
    published = {
        192: ((0.4, 112), (0.5, 112), (0.5, 112), (0.8, 80), (0.8, 80)),
        256: ((0.3, 144), (0.4, 128), (0.5, 128), (0.5, 128), (0.9, 80)),
        320: ((0.4, 144), (0.5, 144), (0.5, 144), (0.8, 112), (0.9, 96)),
        384: ((0.4, 160), (0.5, 160), (0.5, 160), (0.5, 160), (0.9, 112)),
        448: ((0.4, 176), (0.5, 176), (0.5, 176), (0.5, 176), (0.9, 128)),
        512: ((0.3, 208), (0.5, 192), (0.5, 176), (0.5, 176), (0.9, 144)),
    }
    ours = {
        sram: [
            best_frame(found.frames(Budget(BOARD, {"sram": sram * 1024.0, "flash": flash * 1024.0}), cascades=False))
            for flash in flashes
        ]
        for sram in srams
    }
    pairs = [(ours[s][i], published[s][i]) for s in srams for i in range(len(flashes))]
    assert all(frame is not None for frame, _ in pairs)
    widths = spearmanr([frame.width for frame, _ in pairs if frame], [width for _, (width, _) in pairs]).statistic
    sizes = spearmanr([frame.resolution for frame, _ in pairs if frame], [size for _, (_, size) in pairs]).statistic
    assert widths > 0.7 and sizes > 0.5
    for first, second in pairwise(srams):
        for small, large in zip(ours[first], ours[second], strict=True):
            assert small and large and large.mean_macs >= small.mean_macs
    scarce = Budget(BOARD, {"sram": 192 * 1024.0, "flash": 2048 * 1024.0})
    pairs_of_frames = zip(found.frames(scarce), found.frames(scarce, cascades=False), strict=True)
    assert all(cascaded.share >= whole.share for cascaded, whole in pairs_of_frames)


def test_the_verb_writes_a_space_that_train_takes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    boards = "stm32f103,stm32f746"
    arguments = ("space", "--task", "gestures", "--boards", boards, "--samples", "60", "--out", tmp_path / "space")
    assert run(*arguments, "--json") == 0
    value = json.loads(capsys.readouterr().out)
    assert [row["board"] for row in value["boards"]] == boards.split(",") and all(
        r["feasible"] for r in value["boards"]
    )
    assert value == json.loads((tmp_path / "space" / "report.json").read_text())
    assert (tmp_path / "space" / "space.png").read_bytes().startswith(b"\x89PNG")
    path = tmp_path / "space" / "space.json"
    space = space_of("gestures", (1, 128, 3), 4, path)
    assert (
        json.loads(json.dumps(space.to_json())) == value["recommended"] and space.size == value["recommended_subnets"]
    )
    assert space_of("gestures", (1, 128, 3), 4) == GESTURES
    with pytest.raises(UsageError, match="is for inputs 1x128x3 in 4 classes, and task 'other' has 28x28x1 in 10"):
        space_of("other", (28, 28, 1), 10, path)
    with pytest.raises(UsageError, match="holds no space"):
        space_of("gestures", (1, 128, 3), 4, tmp_path / "space" / "report.json")
    assert run(*arguments) == 0
    assert "recommended: resolutions 128; widths" in capsys.readouterr().out


def test_what_is_asked_must_be_one_thing(tmp_path: Path) -> None:
    out = ("--out", tmp_path / "out")
    assert run("space", *out) == 2
    assert run("space", "--task", "gestures", "--preset", "mcunet", *out) == 2
    assert run("space", "--preset", "nothing", *out) == 2
    few = ("--boards", "rp2040", "--max-instructions", "1000", "--samples", "50")
    assert run("space", "--task", "gestures", *few, *out) == 3
    assert not (tmp_path / "out").exists()
