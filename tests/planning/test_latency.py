"""Latency models: fitted to what was measured, kept as files, and what estimates of time rest on."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from ofa_mcu.errors import OfaMcuError, UsageError
from ofa_mcu.planning.core_model import core_model, core_of
from ofa_mcu.planning.cost import Cost, estimate, millijoules, milliseconds
from ofa_mcu.planning.kernels import KERNELS
from ofa_mcu.planning.latency import LatencyModel, Unit, kernel_group, read_latency, write_latency
from ofa_mcu.planning.latency_files import default_path, latency_for
from ofa_mcu.planning.latency_fit import FOLDS, Form, Sample, errors_of, fit, fit_form
from ofa_mcu.planning.plan import make_plan
from ofa_mcu.profiles import load_profile
from ofa_mcu.space.lowering import shape_graph
from tests.planning.kernel_mixes import MIXES
from tests.planning.latencies import MODEL, table_of
from tests.space.spaces import TINY

DISCO = load_profile("stm32f746")
SECRET = LatencyModel(900.0, 1.0, {"ofa_dsp_pointwise": 0.6, "ofa_dsp_conv": 0.9, "ofa_dsp_depthwise": 1.5}, 2.5)


@cache
def costs() -> tuple[Cost, ...]:
    """Of networks in which different kernels take most time."""
    rng = np.random.default_rng(5)
    figures = core_model(core_of(DISCO))
    subnets = [(space, subnet) for space in MIXES for subnet in space.sample_balanced(rng, 20)]
    return tuple(estimate(make_plan(shape_graph(*pair), figures), DISCO) for pair in subnets)


def measured(model: LatencyModel, noise: float = 0.0) -> list[Sample]:
    rng = np.random.default_rng(2)
    return [Sample(cost, model.network(cost.layers) * (1 + noise * rng.standard_normal())) for cost in costs()]


def halves(samples: Sequence[Sample]) -> tuple[list[Sample], list[Sample]]:
    return list(samples[::2]), list(samples[1::2])


def test_every_kernel_is_of_a_group() -> None:
    groups = {kernel.name: kernel_group(kernel.name) for kernel in KERNELS}
    assert "other" not in groups.values(), groups
    assert groups["ofa_dsp_pointwise_add"] == groups["ofa_mve_pointwise"] == "pointwise"
    assert groups["ofa_fully_connected"] == groups["ofa_dsp_dense_general"] == "dense"
    assert kernel_group("ofa_novel") == "other"


def test_a_kernel_without_a_factor_has_that_of_its_group_or_of_all() -> None:
    assert MODEL.factor("ofa_dsp_pointwise") == 0.6
    assert MODEL.factor("ofa_mve_depthwise_blocks") == 1.9
    assert MODEL.factor("ofa_dsp_conv") == 1.3
    assert MODEL.layer("ofa_dsp_conv", 100, 10) == pytest.approx(137.0)


def test_a_fit_recovers_what_was_put_in() -> None:
    found = fit_form(measured(SECRET), Form("kernel", True))
    for kernel, factor in SECRET.factors.items():
        assert found.factors[kernel] == pytest.approx(factor, rel=0.03)
    assert found.per_byte == pytest.approx(SECRET.per_byte, rel=0.05)
    assert errors_of(found, measured(SECRET)).largest < 0.005


def test_noise_stays_noise() -> None:
    seen, unseen = halves(measured(SECRET, noise=0.02))
    found = fit(seen)
    assert found.form.by == "kernel"
    assert errors_of(found.model, unseen).median < 0.03
    assert errors_of(found.model, measured(SECRET)[1::2]).median < 0.012  # nearer to the truth than to the noise
    assert errors_of(fit_form(seen, Form("all", False)), unseen).median > 0.05


def test_where_one_factor_does_there_is_one() -> None:
    found = fit(measured(LatencyModel(0.0, 1.4, {}, 0.0), noise=0.03)[::2])
    assert found.form == Form("all", False) and found.model.factors == {}
    assert found.model.shared == pytest.approx(1.4, rel=0.02)
    assert 0.005 < found.fitted.median < 0.04


def test_held_out_errors_are_those_of_the_networks_held_out() -> None:
    seen, unseen = halves(measured(SECRET))
    model = fit_form(seen, Form("kernel", True))
    assert errors_of(model, unseen).median < 0.005
    slow = [replace(sample, measured=1.25 * sample.measured) for sample in unseen]
    errors = errors_of(model, slow)
    assert errors.networks == len(slow) and errors.median == pytest.approx(0.2, abs=0.005)
    sizes = [abs(model.network(one.cost.layers) / one.measured - 1) for one in slow]
    assert errors.largest == pytest.approx(max(sizes)) and errors.largest > 0.19
    mixed = errors_of(model, [*unseen[1:], slow[0]])
    assert mixed.median < 0.005 and mixed.largest > 0.19


def test_what_no_sample_has_falls_back() -> None:
    few = [replace(one, cost=replace(one.cost, layers=one.cost.layers[:1])) for one in measured(SECRET)[:20]]
    model = fit_form(few, Form("kernel", False))
    assert set(model.factors) == {"conv", *(layer.kernel for one in few for layer in one.cost.layers)}
    assert model.factor("ofa_conv2d") == model.factors["conv"]
    assert model.factor("ofa_dsp_mean") == model.shared


def test_too_little_is_no_table() -> None:
    samples = measured(SECRET)
    with pytest.raises(OfaMcuError, match=r"15 networks were measured, .* needs 16"):
        fit(samples[: 2 * FOLDS - 1])
    with pytest.raises(OfaMcuError, match="1 of which took no time at all; .* a counter that moves"):
        fit([*samples, Sample(samples[0].cost, 0.0)])


def test_a_file_holds_all_of_a_table(tmp_path: Path) -> None:
    table = table_of("stm32f746")
    write_latency(tmp_path / "new" / "t.json", table)
    assert read_latency(tmp_path / "new" / "t.json") == table


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (lambda value: value.update(kind="run"), "holds no latency table; name one"),
        (lambda value: value.update(schema=2), "has schema 2 and this release knows 1"),
        (lambda value: value.update(unit="seconds"), r"is damaged \('seconds' is not a valid Unit\)"),
        (lambda value: value.update(clock_hz=-1), "damaged .clock_hz is -1"),
        (lambda value: value.update(clock_hz=0), "damaged .the clock or all factors are zero"),
        (lambda value: value.update(probes=1.5), "damaged .probes is 1.5"),
        (lambda value: value.update(date=7), "damaged .date is 7"),
        (lambda value: value.pop("core"), "damaged .no core"),
        (lambda value: value.update(held_out=3), "damaged .held_out. is 3"),
        (lambda value: value["held_out"].pop("largest"), "damaged .no held_out.largest"),
        (lambda value: value["model"].update(factors=[1]), r"damaged .model.factors is \[1\]"),
        (lambda value: value["model"]["factors"].update(depthwise="x"), "damaged .model.factors.depthwise is 'x'"),
        (lambda value: value["model"].update(per_byte=float("nan")), "damaged .model.per_byte is nan"),
    ],
)
def test_damaged_and_foreign_files_are_refused(tmp_path: Path, edit, words: str) -> None:
    path = tmp_path / "t.json"
    value = table_of("stm32f746").to_json()
    edit(value)
    path.write_text(json.dumps(value))
    with pytest.raises(OfaMcuError, match=words) as caught:
        read_latency(path)
    assert str(caught.value).startswith(str(path)) and "\n" not in str(caught.value)


def test_what_is_no_json_and_what_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "t.json").write_text('{"kind": "lat')
    with pytest.raises(OfaMcuError, match=r"is damaged .*measure it again \(ofa-mcu boards calibrate\)"):
        read_latency(tmp_path / "t.json")
    with pytest.raises(UsageError, match="cannot be read .No such file"):
        read_latency(tmp_path / "absent.json")


def test_a_board_finds_its_own_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("OFA_MCU_BOARDS", raising=False)
    assert latency_for(DISCO) is None
    assert default_path("stm32f746") == Path("runs/boards/stm32f746.latency.json")
    assert default_path("stm32f746", False) == Path("runs/boards/stm32f746.instructions.json")
    old, new = table_of("stm32f746"), table_of("stm32f746", probes=65)
    write_latency(default_path("stm32f746"), old)
    write_latency(default_path("stm32f746", False), table_of("stm32f746", unit=Unit.INSTRUCTIONS))
    assert latency_for(DISCO) == old and latency_for(load_profile("stm32h743")) is None
    assert latency_for(DISCO, cycles_per_instruction=0.9) is None
    (tmp_path / "mine").mkdir()
    monkeypatch.setenv("OFA_MCU_BOARDS", str(tmp_path / "mine"))
    assert latency_for(DISCO) == old
    write_latency(default_path("stm32f746"), new)
    assert (tmp_path / "mine" / "stm32f746.latency.json").is_file() and latency_for(DISCO) == new
    assert latency_for(DISCO, Path("runs/boards/stm32f746.latency.json")) == old
    write_latency(tmp_path / "own" / "stm32f746.latency.json", replace(old, probes=66))
    found = latency_for(DISCO, profile_path=tmp_path / "own" / "stm32f746.toml")
    assert found is not None and found.probes == 66


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"unit": Unit.INSTRUCTIONS}, "counts instructions of an emulator, which are no time; calibrate the board"),
        ({"board": "stm32h743"}, r"was measured on stm32h743 \(cortex-m7\), not on stm32f746"),
        ({"core": "cortex-m4"}, r"was measured on stm32f746 \(cortex-m4\)"),
        ({"kernels": "0" * 16}, r"with kernels of another release \(0.1.0\); calibrate again"),
    ],
)
def test_a_table_that_does_not_hold_is_refused(tmp_path: Path, changes: dict[str, object], words: str) -> None:
    write_latency(tmp_path / "t.json", table_of("stm32f746", **changes))
    with pytest.raises(UsageError, match=words):
        latency_for(DISCO, tmp_path / "t.json")


def test_two_answers_to_one_question() -> None:
    with pytest.raises(UsageError, match="contradict each other"):
        latency_for(DISCO, Path("t.json"), 0.9)


def test_time_and_energy_rest_on_the_table() -> None:
    cost, table = costs()[0], table_of("stm32f746")
    found = milliseconds(cost, DISCO, latency=table)
    cycles = 700.0 + sum(MODEL.layer(one.kernel, one.instructions, one.weight_bytes) for one in cost.layers)
    assert found.value == pytest.approx(cycles / DISCO.clock_hz * 1e3)
    assert found.band == 0.034
    for words in (
        "latency table of stm32f746",
        "64 probes at 216 MHz",
        "2026-01-02",
        "1.2 % (median), at most by 3.4 %",
    ):
        assert words in found.basis
    assert milliseconds(cost, DISCO, 0.9, table) == milliseconds(cost, DISCO, 0.9)
    micros = replace(table, unit=Unit.MICROSECONDS)
    assert milliseconds(cost, DISCO, latency=micros).value == pytest.approx(cycles / 1e3)
    with pytest.raises(UsageError, match="which are no time"):
        milliseconds(cost, DISCO, latency=replace(table, unit=Unit.INSTRUCTIONS))
    energy = millijoules(cost, DISCO, 400.0, latency=table)
    assert energy.value == pytest.approx(found.value * 0.4) and found.basis in energy.basis
    with pytest.raises(UsageError, match=r"has no active_power_mw, .* give --power-mw "):
        millijoules(cost, DISCO, latency=table)


def test_a_board_without_cycles_has_time_by_its_table() -> None:
    board = load_profile("rp2040")
    figures = core_model(core_of(board))
    cost = estimate(make_plan(shape_graph(TINY, TINY.smallest), figures), board)
    with pytest.raises(UsageError, match="cycles_per_instruction"):
        milliseconds(cost, board)
    assert milliseconds(cost, board, latency=table_of("rp2040")).value > 0
