from __future__ import annotations

import json
from pathlib import Path

import pytest

from ofa_mcu.devices.model_build import BoardModel, compile_model
from ofa_mcu.planning.compile import CompileOptions
from ofa_mcu.planning.core_model import core_model
from ofa_mcu.planning.plan import Optimize
from ofa_mcu.profiles import load_profile
from ofa_mcu.reports.compilation import border_sentences, compilation_json
from ofa_mcu.reports.explanation import explain
from ofa_mcu.reports.layers import layer_figures, shape_text, short_name
from ofa_mcu.reports.page import write_report
from tests.devices.models import many_ended_graph, write_model_file

PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> BoardModel:
    return compile_model(write_model_file(tmp_path_factory.mktemp("model")), load_profile("stm32f746"))


def test_layers_sum_up_to_the_image(made: BoardModel) -> None:
    rows, cost = layer_figures(made.compiled), made.cost
    figures = core_model(cost.core)
    assert [row.name for row in rows] == [operator.name for operator in made.compiled.graph.structure.operators]
    assert sum(row.macs for row in rows) == cost.macs
    assert abs(sum(row.flash_bytes for row in rows) + figures.base_flash_bytes - cost.flash_bytes) <= len(rows)
    assert abs(sum(row.instructions for row in rows) + figures.inference_instructions - cost.instructions) <= len(rows)
    assert max(row.arena_live_bytes for row in rows) <= made.compiled.plan.arena_bytes


def test_texts() -> None:
    assert shape_text((1, 48, 48, 16)) == "48×48×16" and shape_text((1,)) == "1" and shape_text((3, 2)) == "3×2"
    assert short_name("a/b;c") == "a/b"
    assert len(short_name("x" * 90)) == 40


def test_json_holds_what_is_promised(made: BoardModel) -> None:
    value = compilation_json(made)
    wanted = {"schema", "model", "board", "macs", "live_macs", "arena_bytes", "arena_lower_bound", "sram_bytes"}
    wanted |= {"flash_code_bytes", "flash_weight_bytes", "instructions_predicted", "seconds", "layers"}
    assert wanted <= set(value)
    assert value["live_macs"] < value["macs"] and value["arena_lower_bound"] <= value["arena_bytes"]
    keys = {"name", "op", "macs", "instructions", "arena_live_bytes", "flash_bytes", "kernel", "variant"}
    assert all(keys <= set(layer) for layer in value["layers"])
    json.dumps(value, allow_nan=False)


def test_float_borders_are_told(made: BoardModel) -> None:
    taken, given = border_sentences(made)
    assert "input 'image' is float32 in the file" in taken and "scale 0.0199999996, zero point -3" in taken
    assert "output 'scores' is float32 in the file" in given and "value = scale * (code - zero point)" in given


def test_every_input_and_output_is_told(tmp_path: Path) -> None:
    made = compile_model(write_model_file(tmp_path, many_ended_graph()), load_profile("stm32f746"))
    told = compilation_json(made)["borders"]
    assert [border["kind"] for border in told] == ["input"] * 3 + ["output"] * 7
    assert [border["stands_for"] for border in told] == ["image", None, None, None, None, "scores", *[None] * 4]
    assert [border["accessor"] for border in told][2:4] == ["ofa_model_input_at(2)", "ofa_model_output_at(0)"]
    assert [border["bytes"] for border in told] == [144, 24, 31, 72, 72, 4, 4, 5, 24, 72]
    assert [border["shape"] for border in told][3:5] == [[1, 12, 6], [1, 4, 3, 6]]
    assert told[5]["name"] == told[6]["name"] and told[8]["name"] == told[1]["name"] == "motion"
    assert len(border_sentences(made)) == 2
    page = write_report(tmp_path / "report", made, explain(made.compiled, made.options)).read_text()
    assert all(border["accessor"] in page for border in told)


def test_layers_and_ends_sum_up_to_the_image(tmp_path: Path) -> None:
    made = compile_model(write_model_file(tmp_path, many_ended_graph()), load_profile("stm32f746"))
    rows, cost = layer_figures(made.compiled), made.cost
    constant = 8  # five bytes, aligned
    assert cost.flash_firmware_bytes > core_model(cost.core).base_flash_bytes
    total = sum(row.flash_bytes for row in rows) + cost.flash_firmware_bytes + constant
    assert abs(total - cost.flash_bytes) <= len(rows)


@pytest.mark.parametrize("goal", Optimize)
def test_every_layer_has_one_way_and_a_reason(made: BoardModel, goal: Optimize) -> None:
    options = CompileOptions(goal)
    account = explain(compile_model(made.model.path, made.profile, options).compiled, options)
    assert {step.name for step in account.passes} >= {"fold_borders", "remove_dead_channels"}
    assert account.eliminated["image"] == "fold_borders"
    for layer in account.layers:
        assert sum(way.chosen for way in layer.ways) == 1 and layer.reason
        assert [way.instructions for way in layer.ways] == sorted(way.instructions for way in layer.ways)
    json.dumps(account.to_json(), allow_nan=False)


def test_the_page_needs_nothing_beside_itself(made: BoardModel, tmp_path: Path) -> None:
    page = write_report(tmp_path / "report", made, explain(made.compiled, made.options)).read_text()
    assert page.count("data:image/png;base64,") == 5
    assert "http://" not in page and "https://" not in page
    assert all(row.kernel in page for row in layer_figures(made.compiled))
    files = {path.name for path in (tmp_path / "report").iterdir()}
    plots = {f"{name}.png" for name in ("sram", "instructions", "macs", "instructions_per_mac", "flash")}
    assert files == plots | {"report.html", "report.json"}
    assert all((tmp_path / "report" / name).read_bytes().startswith(PNG) for name in plots)
    assert json.loads((tmp_path / "report" / "report.json").read_text())["explanation"]["choices"]
