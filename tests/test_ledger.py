"""The ledger: what stages cost, resumable, honest about what no meter saw; and the account of N boards."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from ofa_mcu import ledger
from ofa_mcu.cli import main
from ofa_mcu.errors import OfaMcuError, UsageError
from ofa_mcu.ledger import Entry, Intensity, Stopwatch, intensity_of, read_ledger, record, recorded, total
from ofa_mcu.reports.carbon import account, break_even, read_sums
from ofa_mcu.reports.literature import CAVEATS, literature


@pytest.fixture(autouse=True)
def nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OFA_MCU_CARBON_REGION", "OFA_MCU_CARBON_INTENSITY"):
        monkeypatch.delenv(name, raising=False)


def metered(stage: str, kwh: float, seconds: float = 3600.0) -> Entry:
    return Entry(stage, seconds, seconds, kwh, "CPU: RAPL", {"cpu": kwh * 0.8, "gpu": 0.0, "memory": kwh * 0.2})


def test_stages_are_added_and_running_ones_replaced(tmp_path: Path) -> None:
    record(tmp_path, metered("supernet", 1.0), running=True)
    record(tmp_path, metered("predictor", 0.5))
    record(tmp_path, metered("supernet", 2.0), running=True)  # the same, further on
    record(tmp_path, metered("build", 0.1))
    record(tmp_path, metered("build", 0.1))  # built twice
    found = read_ledger(tmp_path)
    assert [(e.stage, e.kwh) for e in found] == [("predictor", 0.5), ("supernet", 2.0), ("build", 0.1), ("build", 0.1)]
    assert total(found, {"build"}) == {
        "wall_seconds": 7200,
        "device_seconds": 7200,
        "kwh": pytest.approx(0.2),
        "unmetered_seconds": 0,
        "entries": 2,
    }


def test_carbon_is_computed_where_the_grid_is_known_and_said_to_be_unknown_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record(tmp_path, metered("search", 0.5))
    monkeypatch.setenv("OFA_MCU_CARBON_INTENSITY", "0.4")
    record(tmp_path, metered("build", 0.5))
    monkeypatch.delenv("OFA_MCU_CARBON_INTENSITY")
    monkeypatch.setenv("OFA_MCU_CARBON_REGION", "deu")
    record(tmp_path, metered("measure", 0.5))
    unknown, given, germany = read_ledger(tmp_path)
    assert unknown.co2e_kg is None and unknown.intensity.startswith("unknown")
    assert given.co2e_kg == pytest.approx(0.2) and given.intensity == "0.4 kg/kWh, given by the user"
    assert germany.co2e_kg is not None and 0.1 < germany.co2e_kg < 0.3 and "Germany" in germany.intensity
    monkeypatch.setenv("OFA_MCU_CARBON_REGION", "")
    monkeypatch.setenv("OFA_MCU_CARBON_INTENSITY", "much")
    with pytest.raises(UsageError, match="OFA_MCU_CARBON_INTENSITY is 'much'; write kg per kWh"):
        record(tmp_path, metered("build", 0.5))


def test_intensities() -> None:
    assert intensity_of(None, None) is None
    assert intensity_of(None, 0.25) == Intensity(0.25, "given by the user")
    with pytest.raises(UsageError, match="no carbon intensity is known for region 'XYZ'"):
        intensity_of("XYZ", None)
    with pytest.raises(UsageError, match="both name a carbon intensity"):
        intensity_of("DEU", 0.3)


def test_a_stage_is_timed_without_what_has_an_entry_of_its_own(tmp_path: Path) -> None:
    with recorded(tmp_path, "measure") as watch:
        sum(range(3_000_000))
        with watch.exclude():
            time.sleep(0.3)
    (entry,) = read_ledger(tmp_path)
    assert entry.device_seconds > 0.01
    assert entry.wall_seconds < 0.3 + entry.device_seconds  # whatever else the machine does
    with pytest.raises(ZeroDivisionError), recorded(tmp_path, "build"):
        raise ZeroDivisionError
    assert len(read_ledger(tmp_path)) == 1  # what failed is no stage


def test_energy_is_counted_where_counters_can_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files in the form of the kernel's, as this machine may have none: a counter that runs on, and one that wraps."""
    for name, value in (("intel-rapl:0", 1_000_000), ("intel-rapl:1", 9_000_000), ("intel-rapl:0:0", 5)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "energy_uj").write_text(f"{value}\n")
        (tmp_path / name / "max_energy_range_uj").write_text("10000000\n")
    monkeypatch.setattr(ledger, "_POWERCAP", tmp_path)
    watch = Stopwatch()
    (tmp_path / "intel-rapl:0" / "energy_uj").write_text("4000000")
    (tmp_path / "intel-rapl:1" / "energy_uj").write_text("1000000")
    entry = watch.entry("search")
    assert entry.kwh == pytest.approx(5.0 / 3.6e6, rel=1e-3) and entry.basis.startswith("CPU: RAPL")
    monkeypatch.setattr(ledger, "_POWERCAP", tmp_path / "none")
    assert Stopwatch().entry("search").kwh is None


def test_a_damaged_ledger_is_told(tmp_path: Path) -> None:
    for content in ("{", '{"entries": [3]}', '{"entries": [{"stage": "x"}]}'):
        (tmp_path / "ledger.json").write_text(content)
        with pytest.raises(OfaMcuError, match="is damaged .*; move it away to begin a new ledger"):
            read_ledger(tmp_path)


@pytest.fixture
def runs(tmp_path: Path) -> list[Path]:
    """A supernet (10 kWh fixed), two searches (0.2 and 0.4 each with 0.1 to build), a lone network, a ticket."""
    plan = {
        "supernet": [metered("supernet", 9.0), metered("predictor", 1.0)],
        "first": [metered("search", 0.2), metered("build", 0.05), metered("measure", 0.05)],
        "second": [metered("search", 0.3), metered("build", 0.1)],
        "alone": [metered("plain", 1.9), metered("quantize", 0.1)],
        "ticket": [metered("quantize", 0.1)],
        "ticket/dense": [metered("dense", 0.3)],
        "ticket/slim": [metered("slim", 0.6)],
        "second/finetune": [metered("finetune", 0.1)],
    }
    for name, entries in plan.items():
        for entry in entries:
            record(tmp_path / name, entry)
    return [tmp_path / name for name in ("supernet", "first", "second", "alone", "ticket")]


def test_the_account_of_a_supernet(runs: list[Path]) -> None:
    found = account(read_sums(runs), Intensity(0.5, "a test"))
    sums = found.sums
    assert (sums.fixed, sums.per_board, sums.deploy) == pytest.approx((10.0, 0.3, 0.1))
    assert (sums.scratch, sums.early_bird) == pytest.approx((2.0, 1.0))
    # 10 + 0.4 N < 2.1 N from N = 6 on (5.88); 10 + 0.4 N < 1.1 N from N = 15 on (14.3)
    assert found.break_even == {"scratch": 6, "early_bird": 15}
    assert [row["boards"] for row in found.rows] == [1, 6, 15, 40, 1000]
    first, sixth = found.rows[0], found.rows[1]
    assert (first["supernet"], first["scratch"], first["early_bird"]) == pytest.approx((10.4, 2.1, 1.1))
    assert sixth["supernet"] == pytest.approx(12.4) and sixth["scratch"] == pytest.approx(12.6)
    assert first["supernet_kg"] == pytest.approx(5.2)
    assert "loses to training the same network from scratch (10.40000 against 2.10000 kWh)" in found.at_one()


def test_break_even_is_the_first_number_that_pays() -> None:
    for fixed, per_board, naive in ((10.0, 0.4, 2.1), (10.0, 0.5, 1.0), (3.0, 0.0, 1.0), (0.1, 0.1, 5.0)):
        least = break_even(fixed, per_board, naive)
        assert least is not None and fixed + least * per_board < least * naive
        assert least == 1 or fixed + (least - 1) * per_board >= (least - 1) * naive
    assert break_even(10.0, 1.0, 1.0) is None and break_even(10.0, 2.0, 1.0) is None


def test_stages_without_a_meter_are_counted_with_the_power_of_training(runs: list[Path], tmp_path: Path) -> None:
    short = Entry("search", 36.0, 30.0, None, "no counter can be read")
    record(tmp_path / "third", short)
    record(tmp_path / "lone", Entry("supernet", 3600.0, 3600.0, 0.5, "x", {"cpu": 0.1, "gpu": 0.3, "memory": 0.1}))
    sums = read_sums([tmp_path / "lone", tmp_path / "third"])
    assert sums.mean_watts == pytest.approx(200.0)  # processor and memory alone: a search needs no GPU
    assert sums.per_board == pytest.approx(200.0 * 36 / 3.6e6) and sums.unmetered_seconds == 36.0


def test_what_is_missing_is_said(runs: list[Path], tmp_path: Path) -> None:
    bare = account(read_sums(runs[:1]), None)
    assert bare.rows[0]["scratch"] is None and bare.rows[0]["supernet_kg"] is None
    assert "nothing can be said" in bare.at_one() and bare.break_even == {"scratch": None, "early_bird": None}
    with pytest.raises(UsageError, match="none of the folders holds a supernet's ledger"):
        account(read_sums(runs[1:]), None)
    with pytest.raises(UsageError, match="two of the folders hold a supernet"):
        read_sums([runs[0], runs[0]])
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="holds no ledger.json"):
        read_sums([tmp_path / "empty"])
    with pytest.raises(UsageError, match="is no folder of a run"):
        read_sums([tmp_path / "absent"])


def test_published_figures_break_even_where_the_reference_says() -> None:
    pays = {row["method"]: row["once_for_all_pays_from"] for row in literature()}
    assert (pays["MobileNetV2"], pays["MobileNetV3"], pays["ProxylessNAS"]) == (9, 7, 3)
    rows = {row["method"]: row for row in literature()}
    assert rows["MnasNet"]["gpu_hours"]["40"] / rows["Once-for-All"]["gpu_hours"]["40"] > 1290
    assert rows["Once-for-All"]["kg"]["1"] == pytest.approx(1240 * 0.18815 * 1.58 * 0.4327, rel=2e-3)
    assert any("40 targets and against MnasNet only" in caveat for caveat in CAVEATS)


def test_the_verb(runs: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    folders = list(map(str, runs))
    with pytest.raises(SystemExit) as ended:
        main(["carbon", *folders, "--intensity", "0.5", "--json"])
    assert ended.value.code == 0
    report = json.loads(capsys.readouterr().out)
    assert report["break_even"] == {"scratch": 6, "early_bird": 15} and report["rows"][0]["boards"] == 1
    assert Path(report["plot"]).read_bytes().startswith(b"\x89PNG")
    with pytest.raises(SystemExit):
        main(["carbon", *folders])
    shown = capsys.readouterr().out
    assert "For one board the supernet loses to" in shown and "CO2e is not computed" in shown
    assert "from scratch it pays from 6 boards on" in shown and "1/1300" in shown
