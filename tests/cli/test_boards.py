"""The verb `boards`, through the same parser the command uses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from ofa_mcu.cli.boards import register
from ofa_mcu.errors import UsageError
from ofa_mcu.planning.latency import write_latency
from ofa_mcu.profiles import board_ids, load_profile
from tests.planning.latencies import table_of


@pytest.fixture
def app() -> typer.Typer:
    app = typer.Typer()
    register(app)
    return app


def printed(app: typer.Typer, *arguments: str) -> str:
    result = CliRunner().invoke(app, ["boards", *arguments])
    assert result.exit_code == 0 and result.stderr == "", result.stderr
    return result.stdout


def test_list(app: typer.Typer) -> None:
    lines = printed(app).splitlines()
    assert lines[0].split() == ["id", "name", "core", "clock", "SRAM", "flash", "twin"]
    assert [line.split()[0] for line in lines[2:]] == list(board_ids())
    row = next(line for line in lines if line.startswith("stm32f746"))
    assert all(cell in row for cell in ("cortex-m7", "216 MHz", "320 KiB", "1024 KiB", "mps2-an500"))


def test_errors_are_json_too(app: typer.Typer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OFA_MCU_BOARDS", "nowhere")
    for arguments, message in (
        (["--json"], "nowhere, which is no folder"),
        (["show", "nope", "--json"], "nowhere, which is no folder"),
        (["--json", "--markdown"], "--json and --markdown"),
    ):
        result = CliRunner().invoke(app, ["boards", *arguments])
        assert isinstance(result.exception, UsageError)
        assert message in json.loads(result.stdout)["error"]["message"]


def test_show_gives_every_field_with_its_source(app: typer.Typer) -> None:
    text = printed(app, "show", "rp2040")
    profile = load_profile("rp2040")
    fields = {line.split()[0] for line in text.splitlines() if not line.startswith(" ")}
    assert set(profile.to_dict()) - {"sources"} <= fields
    assert all(source in text for source in profile.sources.values())
    assert "uart_base: 0x40004000" in text and "SRAM4: 4096 B at 0x20040000" in text


def test_unknown_is_said_and_no_fpu_is_a_fact(app: typer.Typer) -> None:
    rows = [line.split(maxsplit=2) for line in printed(app, "show", "stm32f103").splitlines()[2:] if line[0] != " "]
    values = {row[0]: row[1] for row in rows}
    assert values["active_power_mw"] == values["cycles_per_instruction"] == values["usb"] == "unknown"
    assert values["fpu"] == "none"


def test_json(app: typer.Typer) -> None:
    listed = json.loads(printed(app, "--json"))
    assert listed["schema"] == 1 and [board["id"] for board in listed["boards"]] == list(board_ids())
    shown = json.loads(printed(app, "show", "stm32l4r5", "--json"))
    assert shown["board"] in listed["boards"]
    assert shown["board"]["active_power_mw"] == 41.5 and shown["board"]["sources"]["clock_hz"]
    bare = json.loads(printed(app, "show", "stm32f103", "--json"))["board"]
    assert (bare["fpu"], bare["emulator"]["fpu"], bare["usb"], bare["active_power_mw"]) == ("none", "none", None, None)


def test_a_broken_profile_hides_no_other(app: typer.Typer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shipped = board_ids()
    (tmp_path / "mine.toml").write_text("id =")
    (tmp_path / "other.toml").write_text('id = "other"')
    monkeypatch.setenv("OFA_MCU_BOARDS", str(tmp_path))
    table = CliRunner().invoke(app, ["boards"])
    assert table.exit_code == 2 and [line.split()[0] for line in table.stdout.splitlines()[2:]] == list(shipped)
    assert [line.partition(".toml")[0] for line in table.stderr.splitlines()] == [
        f"ofa-mcu: {tmp_path / 'mine'}",
        f"ofa-mcu: {tmp_path / 'other'}",
    ]
    told = CliRunner().invoke(app, ["boards", "--json"])
    answer = json.loads(told.stdout)
    assert told.exit_code == 2 and [board["id"] for board in answer["boards"]] == list(shipped)
    assert [each["file"] for each in answer["broken"]] == [str(tmp_path / "mine.toml"), str(tmp_path / "other.toml")]
    assert "the key name is missing" in answer["broken"][1]["message"]
    shown = CliRunner().invoke(app, ["boards", "show", "mine"])
    assert isinstance(shown.exception, UsageError)
    assert CliRunner().invoke(app, ["boards", "show", "rp2040"]).exit_code == 0


def test_the_documented_list_is_the_present_one(app: typer.Typer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OFA_MCU_BOARDS", raising=False)
    documented = (Path(__file__).parents[2] / "docs" / "boards.md").read_text(encoding="utf-8")
    assert printed(app, "--markdown") in documented, (
        "write the output of `ofa-mcu boards --markdown` into docs/boards.md"
    )


def test_show_names_the_latency_table(app: typer.Typer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert json.loads(printed(app, "show", "rp2040", "--json"))["latency_table"] is None
    assert "latency table" not in printed(app, "show", "rp2040")
    write_latency(Path("runs/boards/rp2040.latency.json"), table_of("rp2040"))
    assert json.loads(printed(app, "show", "rp2040", "--json"))["latency_table"] == "runs/boards/rp2040.latency.json"
    assert "runs/boards/rp2040.latency.json" in printed(app, "show", "rp2040")


def test_unknown_board_is_a_user_mistake(app: typer.Typer) -> None:
    result = CliRunner().invoke(app, ["boards", "show", "stm32f7"])
    assert isinstance(result.exception, UsageError) and result.exception.exit_code == 2
