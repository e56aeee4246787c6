"""What is compared with a baseline, what is refused, and what a CI system reads of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from ofa_mcu.errors import RegressionError, UsageError
from ofa_mcu.reports.junit import Case, bench_cases, junit_xml
from ofa_mcu.reports.regression import FIGURES, Comparison, allowances, compare, read_baseline

BASE: dict[str, Any] = {
    "schema": 1,
    "board": "stm32f746",
    "runtime": "compiled",
    "task": "gestures",
    "input_shape": [1, 1, 128, 3],
    "counter": "virtual",
    "images": 200,
    "bytes_compared": 800,
    "differing_bytes": 0,
    "instructions": 1_000_000,
    "milliseconds": None,
    "accuracy": 0.91,
    "stack_used": 348,
    "stack_reserved": 2048,
    "sram_linked": 4776,
    "flash_linked": 35_112,
}
PATH = Path("base.json")


def compared(bounds: str | None = None, **changed: Any) -> Comparison:
    return compare(BASE, BASE | changed, allowances(bounds), PATH)


def verdicts(comparison: Comparison) -> dict[str, str]:
    return {row.figure.name: row.verdict for row in comparison.figures}


def test_the_same_again_is_no_regression() -> None:
    same = compared()
    assert set(verdicts(same).values()) == {"equal", "absent"} and verdicts(same)["milliseconds"] == "absent"
    same.check()


@pytest.mark.parametrize(
    ("bounds", "changed", "verdict"),
    [
        (None, {"sram_linked": 4777}, "regressed"),
        ("sram=1", {"sram_linked": 4777}, "worse"),
        ("sram=1", {"sram_linked": 4778}, "regressed"),
        ("sram=1k", {"sram_linked": 4776 + 1024}, "worse"),
        ("sram=1k", {"sram_linked": 4776 + 1025}, "regressed"),
        (None, {"sram_linked": 4000}, "better"),
        (None, {"instructions": 1_005_000}, "worse"),
        (None, {"instructions": 1_005_001}, "regressed"),
        ("instructions=1%", {"instructions": 1_010_000}, "worse"),
        ("instructions=20k", {"instructions": 1_020_000}, "worse"),
        ("instructions=20k", {"instructions": 1_020_001}, "regressed"),
        (None, {"accuracy": 0.905}, "regressed"),
        ("accuracy=0.5", {"accuracy": 0.905}, "worse"),
        ("accuracy=0.5%", {"accuracy": 0.905}, "worse"),
        ("accuracy=0.4", {"accuracy": 0.905}, "regressed"),
        (None, {"accuracy": 0.95}, "better"),
        (None, {"stack_used": 900}, "worse"),
        ("stack=0", {"stack_used": 349}, "regressed"),
    ],
)
def test_bounds(bounds: str | None, changed: dict[str, Any], verdict: str) -> None:
    comparison = compared(bounds, **changed)
    (key,) = changed
    (name,) = (figure.name for figure in FIGURES if figure.key == key)
    assert verdicts(comparison)[name] == verdict
    assert comparison.to_json()["regressed"] == ([name] if verdict == "regressed" else [])
    if verdict == "regressed":
        with pytest.raises(RegressionError, match=f"stm32f746 is worse than base.json: {name} went from") as caught:
            comparison.check()
        assert caught.value.exit_code == 6
    else:
        comparison.check()


def test_sentences() -> None:
    rows = {row.figure.name: row.sentence for row in compared("sram=64", instructions=1_010_000, accuracy=0.9).figures}
    assert rows["instructions"] == "instructions went from 1,000,000 to 1,010,000 (+1 %), 0.5 % worse is allowed"
    assert rows["accuracy"] == "accuracy went from 91 % to 90 %, no loss is allowed"
    assert rows["sram"] == "sram stayed at 4,776 B"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("speed=1%", "names 'speed', which is not compared; known: sram, flash, instructions"),
        ("sram", "sram= is no amount"),
        ("sram=-1", "sram=-1 is no amount"),
        (f"instructions={'9' * 400}", "is more than any figure"),
        ("sram=1%,sram=2%", "names sram twice"),
        ("", "names ''"),
    ],
)
def test_amounts_that_are_none(text: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        allowances(text)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"runtime": "tflm"}, "has the runtime compiled and this measurement tflm"),
        ({"task": "x" * 999}, "has the task gestures and this measurement x{40}\\.\\.\\.;"),
        ({"counter": "dwt"}, "has the counter virtual and this measurement dwt"),
        ({"task": "keywords"}, "has the task gestures and this measurement keywords"),
        ({"input_shape": [1, 1, 64, 3]}, "model inputs of shape 1x1x128x3 and this measurement 1x1x64x3"),
        ({"images": 20}, "has test images 200 and this measurement 20"),
    ],
)
def test_measured_otherwise(changed: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        compared(**changed)


def test_what_was_named_must_be_there() -> None:
    with pytest.raises(UsageError, match="names milliseconds, which is not in the baseline base.json nor in this"):
        compared("milliseconds=1%")
    with pytest.raises(UsageError, match="names sram, which is not in this measurement; leave it out"):
        compared("sram=0", sram_linked=None)
    assert verdicts(compared(sram_linked=None))["sram"] == "absent"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "cannot be read"),
        ("{", "is no JSON"),
        ("[1]", "is not what bench --json prints"),
        (json.dumps({"schema": 1, "error": {"code": "device"}}), "holds the error of a bench that failed"),
        (json.dumps(BASE | {"schema": 7}), "has schema 7 and this release writes 1"),
        (json.dumps(BASE | {"board": "rp2040"}), "is of board rp2040, not of stm32f746"),
        (json.dumps({key: BASE[key] for key in BASE if key != "task"}), "does not say the task"),
        (json.dumps(BASE | {"instructions": "many"}), "has 'many' as its instructions"),
        (json.dumps(BASE | {"accuracy": 95.0}), "has 95.0 as its accuracy; record it again"),
        (
            json.dumps(BASE | {"differing_bytes": 7}),
            r"is of a bench that failed \(7 of 800 output bytes .*\); record it",
        ),
        (
            json.dumps(BASE | {"stack_used": 2049}),
            "is of a bench that failed .*used .*2048 B .*reserved",
        ),
        (json.dumps(BASE | {"differing_bytes": "7"}), "has '7' as its differing_bytes; record it with"),
        (json.dumps({key: BASE[key] for key in BASE if key != "differing_bytes"}), "has None as its differing_bytes"),
        (json.dumps(BASE | {"instructions": 10**400}), r"has 1000*\.\.\. as its instructions"),
        (json.dumps(BASE | {"instructions": float("nan")}), "has nan as its instructions"),
        (json.dumps(BASE).replace("1000000", 5000 * "1"), "is no JSON"),
        (100_000 * "[", "is no JSON .nested too deep.; record it with"),
        (json.dumps(BASE | {"accuracy": True}), "has True as its accuracy"),
    ],
)
def test_files_that_are_no_baseline(tmp_path: Path, text: str | None, words: str) -> None:
    path = tmp_path / "base.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(UsageError, match=words) as caught:
        read_baseline(path, "stm32f746")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_files_as_shells_write_them(tmp_path: Path, encoding: str) -> None:
    """PowerShell's redirection begins a file with a byte order mark, and older ones write UTF-16."""
    path = tmp_path / "base.json"
    path.write_text(json.dumps(BASE), encoding=encoding)
    assert read_baseline(path, "stm32f746") == BASE


def test_junit() -> None:
    cases = bench_cases(BASE | {"differing_bytes": 3}, compared(instructions=2_000_000))
    root = ElementTree.fromstring(junit_xml("ofa-mcu.bench.stm32f746", cases))
    suite = root.find("testsuite")
    assert suite is not None
    counts = {"tests": "8", "failures": "2", "errors": "0", "skipped": "1"}
    assert counts.items() <= suite.attrib.items() and counts.items() <= root.attrib.items()
    failures = {case.get("name"): case.find("failure") for case in suite}
    failed = {name: failure.get("message") for name, failure in failures.items() if failure is not None}
    assert failed["bytes equal the reference"] == "3 of 800 output bytes differ"
    assert str(failed["instructions"]).startswith("instructions went from 1,000,000 to 2,000,000 (+100 %)")
    assert len(failed) == 2 and len(bench_cases(BASE, None)) == 2
    odd = ElementTree.fromstring(junit_xml("a<b", [Case("x", "a \x00 & \ud800", "error")]))
    assert odd.get("errors") == "1"
