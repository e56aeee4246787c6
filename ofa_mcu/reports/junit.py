"""Checks as JUnit XML, which CI systems show: one test case for each."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree

from ofa_mcu.devices.session import Stack
from ofa_mcu.reports.regression import Comparison

__all__ = ["Case", "bench_cases", "junit_xml"]

_NOT_XML = re.compile(r"[^\t\n\r\x20-\uD7FF\uE000-\uFFFD\U00010000-\U0010FFFF]")


@dataclass(frozen=True)
class Case:
    """One check. `outcome` is `passed`, `failure`, `error` (it could not be made) or `skipped`; `words` say why."""

    name: str
    words: str
    outcome: str = "passed"


def bench_cases(result: Mapping[str, Any], comparison: Comparison | None) -> list[Case]:
    """The checks of `bench`: bytes, stack, and each figure that a baseline has, too."""
    differing, used, reserved = result["differing_bytes"], result["stack_used"], result["stack_reserved"]
    cases = [
        Case(
            "bytes equal the reference",
            f"{differing} of {result['bytes_compared']} output bytes differ",
            "failure" if differing else "passed",
        ),
        Case(
            "stack stays in its reserve",
            f"{used} B used of {reserved} B reserved",
            "failure" if Stack(used, reserved).spent else "passed",
        ),
    ]
    outcomes = {"regressed": "failure", "absent": "skipped"}
    for row in () if comparison is None else comparison.figures:
        cases.append(Case(row.figure.name, row.sentence, outcomes.get(row.verdict, "passed")))
    return cases


def junit_xml(suite: str, cases: Sequence[Case]) -> bytes:
    """A `testsuites` document with one suite; UTF-8."""

    def count(outcome: str) -> str:
        return str(sum(case.outcome == outcome for case in cases))

    counts = {
        "tests": str(len(cases)),
        "failures": count("failure"),
        "errors": count("error"),
        "skipped": count("skipped"),
    }
    root = ElementTree.Element("testsuites", {"name": "ofa-mcu", **counts})
    group = ElementTree.SubElement(root, "testsuite", {"name": _text(suite), **counts})
    for case in cases:
        element = ElementTree.SubElement(group, "testcase", classname=_text(suite), name=_text(case.name))
        if case.outcome == "passed":
            ElementTree.SubElement(element, "system-out").text = _text(case.words)
        else:
            ElementTree.SubElement(element, case.outcome, message=_text(case.words))
    ElementTree.indent(root)
    return f'<?xml version="1.0" encoding="utf-8"?>\n{ElementTree.tostring(root, encoding="unicode")}\n'.encode()


def _text(text: str) -> str:
    """Without what XML cannot hold."""
    return _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", text)
