"""Options and fixtures shared by all tests."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

# Reproducible by default; `make soak` looks further, at random.
hypothesis.settings.register_profile("default", deadline=None, derandomize=True)
hypothesis.settings.register_profile("soak", deadline=None, max_examples=5000)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("hardware in the loop")
    group.addoption("--hil-board", default="stm32f746", metavar="ID", help="board under test (default: %(default)s)")
    group.addoption("--hil-port", metavar="PORT", help="its serial port; without it the board's emulator twin is used")


@pytest.fixture(scope="session", autouse=True)
def results_of_the_tests(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keeps results of the tests away from the user's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OFA_MCU_RESULTS", str(tmp_path_factory.mktemp("results") / "results.sqlite"))
        yield


@pytest.fixture(scope="session")
def hil_board(pytestconfig: pytest.Config) -> str:
    """Id of the board under test."""
    return str(pytestconfig.getoption("--hil-board"))


@pytest.fixture(scope="session")
def hil_port(pytestconfig: pytest.Config) -> str | None:
    """Serial port of the board under test; None means its emulator twin."""
    port = pytestconfig.getoption("--hil-port")
    return None if port is None else str(port)


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Folder of data sets: one folder each."""
    return folder_of("OFA_MCU_DATA", "data sets")


@pytest.fixture(scope="session")
def models_dir() -> Path:
    """Folder of int8 .tflite files made by others."""
    return folder_of("OFA_MCU_MODELS", "models of others")


def folder_of(variable: str, what: str) -> Path:
    """The folder named by the variable; without it the test is skipped, or fails under OFA_MCU_REQUIRE_DATA=1."""
    name = os.environ.get(variable)
    if name is None:
        reason = f"{variable} does not say where the {what} lie"
        if os.environ.get("OFA_MCU_REQUIRE_DATA") == "1":
            pytest.fail(f"{reason}, and OFA_MCU_REQUIRE_DATA=1 requires them")
        pytest.skip(reason)
    folder = Path(name)
    if not folder.is_dir():
        pytest.fail(f"{variable} names {folder}, which is no folder")
    return folder
