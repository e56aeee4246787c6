"""Traces whose energy is known exactly: round currents for round times."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from ofa_mcu.devices.power_trace import read_trace
from ofa_mcu.devices.power_windows import by_channel, by_window
from ofa_mcu.errors import UsageError

STEP_MS = 0.01
HIGH = [(100, 300), (500, 700), (800, 1050)]
"""Samples [begin, end) of inferences in a trace of 1200 samples: 2 ms, 2 ms and 2.5 ms."""
ACTIVE_UA, IDLE_UA = 20_000, 50


def samples() -> list[tuple[float, float, int]]:
    """Milliseconds, microamperes, and whether an inference runs."""
    rows: list[tuple[float, float, int]] = []
    for index in range(1200):
        high = any(begin <= index < end for begin, end in HIGH)
        rows.append((round(index * STEP_MS, 5), ACTIVE_UA if high else IDLE_UA, int(high)))
    return rows


def written(folder: Path, header: str, rows: Sequence[object], name: str = "trace.csv") -> Path:
    path = folder / name
    path.write_text("\n".join([header, *map(str, rows)]) + "\n", encoding="utf-8")
    return path


def ppk2(folder: Path, rows: Sequence[tuple[float, float, int]] | None = None) -> Path:
    """As Nordic's Power Profiler writes it, the inference on D2; D7 was high all the time."""
    return written(
        folder, "Timestamp(ms),Current(uA),D0-D7", [f"{t},{i:.3f},00{high}00001" for t, i, high in rows or samples()]
    )


def test_a_ppk2_and_its_digital_channel(tmp_path: Path) -> None:
    trace = read_trace(ppk2(tmp_path))
    assert list(trace.channels) == [f"D{bit}" for bit in range(8)] and trace.voltage is None
    assert trace.seconds == pytest.approx(12e-3)
    found = by_channel(trace, supply_v=3.0)
    # 20 mA at 3 V for 2, 2 and 2.5 ms: 120, 120 and 150 uJ
    assert found.inferences == 3 and found.mj == pytest.approx(0.130)
    assert [found.mj_least, found.mj_most] == pytest.approx([0.120, 0.150])
    assert found.ms == pytest.approx(6.5 / 3) and found.mw == pytest.approx(60)
    assert found.volts == 3.0 and found.between_ma == pytest.approx(0.05)
    assert found.basis == "D2 of trace.csv" and found.notes == ()
    assert by_channel(trace, "d2", 3.0) == found


def test_a_ppk2_with_separate_channels(tmp_path: Path) -> None:
    """X is a sample within which the level changed, - one that was not taken."""
    rows = [f"{t},{i},{'X' if high else 0},-" for t, i, high in samples()]
    found = by_channel(read_trace(written(tmp_path, "Timestamp(ms),Current(uA),D0,D1", rows)), supply_v=1.8)
    assert found.mj == pytest.approx(0.130 * 1.8 / 3) and found.basis == "D0 of trace.csv"


@pytest.mark.parametrize("mark", ["#", ""])
def test_a_joulescope_log_has_means_of_the_time_before(tmp_path: Path, mark: str) -> None:
    """Ten rows a second; 10 mA at 2 V, and 30 mA at 2 V in the five that end from 1.1 s to 1.5 s."""
    rows, energy = ["#& 20260101_000000.0 PARAM : x=1"], 0.0
    for index in range(1, 31):
        amperes = 0.03 if 11 <= index <= 15 else 0.01
        energy += amperes * 2 * 0.1
        rows.append(f"{index / 10:.7f},{amperes},{2.0:.4f},{amperes * 2},{energy / 2:g},{energy:g}")
    trace = read_trace(written(tmp_path, f"{mark}time,current,voltage,power,charge,energy", rows))
    assert float((trace.watts(None) * trace.width).sum()) == pytest.approx(energy)
    found = by_window(trace, 1.0, 1.5, 5)  # of the trace, which begins at 0 s
    assert found.mj == pytest.approx(0.03 * 2 * 0.5 / 5 * 1e3) and found.ms == pytest.approx(100)
    assert found.volts == pytest.approx(2) and found.mj_least is None and found.between_ma == pytest.approx(10)
    assert "1 samples an inference are few" in found.notes[0]


def test_other_meters_name_their_units(tmp_path: Path) -> None:
    """With semicolons and decimal commas; watts from volts and amperes."""
    rows = [f"{index},5;1{index % 2},0;3300;{int(index in (2, 3))}" for index in range(8)]
    trace = read_trace(written(tmp_path, "Time [s];Current [mA];Voltage [mV];GPIO1", rows))
    assert trace.start[:2].tolist() == [0.5, 1.5] and trace.current[:2].tolist() == [0.010, 0.011]
    found = by_channel(trace)
    assert found.mj == pytest.approx((10 + 11) * 3.3) and found.ms == pytest.approx(2000)
    assert found.volts == pytest.approx(3.3)
    suffixes = read_trace(written(tmp_path, "time_us\tcurrent_µA\tpower_mw", ["0\t1\t2", "10\t3\t4"]))
    assert suffixes.start[1] == pytest.approx(1e-5) and suffixes.current[1] == pytest.approx(3e-6)
    assert suffixes.watts(None).tolist() == pytest.approx([0.002, 0.004])


def test_parts_of_samples_count_in_part(tmp_path: Path) -> None:
    path = written(tmp_path, "time(s),current(A)", [f"{index},{index + 1}" for index in range(4)])
    found = by_window(read_trace(path), 0.5, 2.25, 1, supply_v=1.0)
    assert found.mj == pytest.approx((0.5 * 1 + 1 * 2 + 0.25 * 3) * 1e3)
    assert by_window(read_trace(path), 0, 4, 2, supply_v=1.0).between_ma is None


def test_what_is_cut_off_or_missing_is_told(tmp_path: Path) -> None:
    rows = samples()
    found = by_channel(read_trace(ppk2(tmp_path, rows[200:900])), supply_v=3.0)
    assert found.inferences == 1 and found.mj == pytest.approx(0.120)
    assert found.notes == ("2 cut off at an end of the trace",) and found.between_ma == pytest.approx(0.05)
    gap = [row for index, row in enumerate(rows) if not 550 <= index < 570]
    found = by_channel(read_trace(ppk2(tmp_path, gap)), supply_v=3.0)
    assert found.inferences == 2 and found.mj == pytest.approx(0.135) and found.between_ma == pytest.approx(0.05)
    assert found.notes == ("1 left out: samples are missing inside or at the edges",)
    found = by_window(read_trace(ppk2(tmp_path, gap)), 0.005, 0.007, 1, supply_v=3.0)
    assert found.mj == pytest.approx(0.120)  # the sample before a gap holds on
    assert found.notes == ("samples are missing in 1 places inside of inferences",)


TRAIN = [(begin, begin + 200) for begin in range(200, 2200, 200 * 2)]
"""Five inferences of 20 ms, as samples [begin, end) of 0.1 ms, with 20 ms between them."""


def train(marked: Sequence[tuple[int, int]] = TRAIN, lost: range = range(0)) -> list[tuple[float, float, int]]:
    rows = []
    for index in range(2400):
        active = any(begin <= index < end for begin, end in TRAIN)
        high = any(begin <= index < end for begin, end in marked)
        rows.append((index / 10, float(ACTIVE_UA if active else IDLE_UA), int(high)))
    return [row for index, row in enumerate(rows) if index not in lost]


@pytest.mark.parametrize(
    ("lost", "inferences", "out"),
    [
        (range(550, 700), 4, 1),  # the beginning of one
        (range(750, 900), 4, 1),  # its end
        (range(650, 720), 4, 1),  # its inside
        (range(580, 600), 4, 1),  # right up to its beginning
        (range(800, 820), 4, 1),  # from its end on
        (range(780, 1050), 3, 1),  # its end, what is between, and the next one's beginning: seen as one
        (range(550, 850), 4, 0),  # one as a whole
        (range(850, 950), 5, 0),  # only what is between
    ],
)
def test_inferences_with_missing_samples_are_left_out(tmp_path: Path, lost: range, inferences: int, out: int) -> None:
    found = by_channel(read_trace(ppk2(tmp_path, train(lost=lost))), supply_v=1.0)
    assert found.inferences == inferences and found.between_ma == pytest.approx(0.05)
    assert [found.mj_least, found.mj, found.mj_most] == pytest.approx(3 * [0.4]) and found.ms == pytest.approx(20)
    assert found.notes == (f"{out} left out: samples are missing inside or at the edges",) * out


def test_missing_samples_everywhere(tmp_path: Path) -> None:
    lost = [row for index, row in enumerate(train()) if index % 200 > 30]
    with pytest.raises(UsageError, match="samples are missing in every inference that D2 of .*; record it again"):
        by_channel(read_trace(ppk2(tmp_path, lost)), supply_v=1.0)


def test_glitches_are_no_inferences(tmp_path: Path) -> None:
    found = by_channel(read_trace(ppk2(tmp_path, train([*TRAIN, (500, 501), (900, 990)]))), supply_v=1.0)
    assert found.inferences == 5 and found.mj == pytest.approx(0.4) and found.ms == pytest.approx(20)
    assert found.notes == (
        "2 left out as too short, with less than half of the usual 200 samples; look for glitches on D2",
    )
    few = by_channel(read_trace(ppk2(tmp_path, train([(200, 212), (600, 607), (1000, 1012)]))), supply_v=1.0)
    assert few.inferences == 3 and few.notes == ("7 samples an inference are few; let the meter sample faster",)


def test_large_traces_are_read(tmp_path: Path) -> None:
    """Half a second of a PPK2."""
    count = 50_000
    time, high = np.arange(count) / 100, (np.arange(count) // 1000) % 2
    lines = [f"{t:.2f},{1000 + 9000 * h}.000,{h}0000000" for t, h in zip(time, high, strict=True)]
    found = by_channel(read_trace(written(tmp_path, "Timestamp(ms),Current(uA),D0-D7", lines)), supply_v=1.0)
    assert found.inferences == 24 and found.mj == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("0,1\n1,2\n", "does not begin with the names of its columns; export it with a header"),
        ("", "does not begin with the names"),
        ("Timestamp(ms),D0-D7\n0,0\n1,1\n", r"has no column of current \(Timestamp\(ms\), D0-D7\); name one Current"),
        ("Current(uA),D0\n0,0\n1,1\n", r"has no column of time .*; name one Timestamp\(ms\)"),
        ("Timestamp,Current(uA)\n0,1\n1,2\n", r"the column 'Timestamp' of .* has no unit; write it as Timestamp\(ms\)"),
        ("time(s),Current(lb)\n0,1\n1,2\n", "'Current\\(lb\\)' of .* has the unit 'lb'"),
        ("time(s),current(A)\n", "has 0 rows; two are the least"),
        ("time(s),current(A)\n1,2\n", "has 1 rows"),
        ("time(s),current(A)\n0,1\n1,two\n2,3\n", "line 3 of .* has 'two' where a number belongs"),
        ("time(s),current(A)\n0,1\n\n1,nan\n2,3\n", "line 4 of .* has 'nan' where a number belongs"),
        ("time(s),current(A)\n0,1\n1,2\n2\n", "line 4 of .* has 1 columns only; export it again"),
        ("time(s),current(A),D0\n0,1,0\n1,2\n2,3,1\n", "line 3 of .* has 2 columns only"),
        (
            "Timestamp(ms),Current(mA)\n20,10,5\n21,10,5\n",
            "line 2 .* has 3 cells and the header 2; export it with decimal",
        ),
        (
            "Timestamp(ms),Current(uA)\n19,0\n20,10,500\n",
            "line 3 of .* has 3 cells and the header 2; .* no other commas",
        ),
        ("Timestamp(ms),Current(mA),\n0,0,20,0\n0,1,20,0\n", "line 2 of .* has 4 cells and the header 2"),
        ('time(s),current(A)\n0,"1,5"\n1,2\n', "line 2 of .* has '1,5' where a number belongs"),
        ("time(s),current(A)\n0," + 200_000 * "x" + "\n1,2\n", "where a number belongs"),
        ("time(s);current(A)\n0;1;2\n1;2\n", "line 2 of .* has 3 cells and the header 2; export it again"),
        (
            "time(s),Current(uA),Current(uA)\n0,1,2\n",
            r"has 2 columns of current, 'Current\(uA\)' and 'Current\(uA\)'; exp",
        ),
        ("time(s),Current(uA),i_ma\n0,1,2\n", r"has 2 columns of current, 'Current\(uA\)' and 'i_ma'; export one"),
        ("time(s),t(ms),Current(uA)\n0,0,2\n", r"has 2 columns of time, 'time\(s\)' and 't\(ms\)'"),
        ("time(s),Current(uA),D0-D7,D1\n0,1,00000000,1\n1,1,00000000,1\n", "two columns of the digital channel D1"),
        (
            "time(s),Current(uA)\n0,1\n1,-1e308\n",
            r"has a current of 1e\+302 A, which no meter measures; .*'Current\(uA\)'",
        ),
        ("time(s),Current(uA),v_mv\n0,1,1\n1,1,1e300\n", r"has a voltage of 1e\+297 V, .* the unit in 'v_mv'"),
        ("time(s),Current(uA)\n0,1\n1e300,1\n", r"has a time of 1e\+300 s"),
        ("time(s),current(A)\n0,1\n2,2\n1,3\n", "goes from 2 s to 1 s; export it in order"),
    ],
)
def test_bad_files(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "trace.csv"
    path.write_text(text)
    with pytest.raises(UsageError, match=words) as caught:
        read_trace(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_blank_cells_and_remarks_at_a_rows_end(tmp_path: Path) -> None:
    rows = ["0,1,", "1,2, ,", '"2",3,""', "3,4 # a remark, with commas, in it"]
    trace = read_trace(written(tmp_path, "time(s),current(A)", rows))
    assert trace.current.tolist() == [1, 2, 3, 4] and trace.start.tolist() == [0, 1, 2, 3]


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read .*; check its name"):
        read_trace(tmp_path / "none.csv")
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00\x80")
    with pytest.raises(UsageError, match="is no text in UTF-8; export it as CSV"):
        read_trace(tmp_path / "binary.csv")


def test_what_cannot_be_told(tmp_path: Path) -> None:
    trace = read_trace(ppk2(tmp_path))
    with pytest.raises(UsageError, match="has no column of volts; give the supply's voltage with --supply-v"):
        by_channel(trace)
    with pytest.raises(UsageError, match="has no digital channel D9; it has D0, D1"):
        by_channel(trace, "D9", 3.0)
    with pytest.raises(UsageError, match="D7 of .* never rises and falls again"):
        by_channel(trace, "D7", 3.0)
    for begin, end in ((0.005, 0.005), (-1, 0.001), (0, 0.1)):
        with pytest.raises(UsageError, match=r"is not inside .*, which lasts 0\.012 s; count from its first row"):
            by_window(trace, begin, end, 1, 3.0)
    bare = read_trace(written(tmp_path, "time(s),current(A)", ["0,-1", "1,-1"]))
    with pytest.raises(UsageError, match=r"no digital channel .* changes \(it has none\).*--window START,END"):
        by_channel(bare, supply_v=3.0)
    with pytest.raises(UsageError, match="take no energy; check how the meter's leads are connected"):
        by_window(bare, 0, 1, 1, 3.0)
    both = read_trace(written(tmp_path, "time(s),current(A),D0,D1", ["0,1,0,1", "1,1,1,0", "2,1,0,1"]))
    with pytest.raises(UsageError, match=r"several digital channels .* change \(D0, D1\); choose one with --channel"):
        by_channel(both, supply_v=3.0)
