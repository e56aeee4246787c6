"""What several verbs share: options, units, words on stderr, one JSON object on stdout."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ofa_mcu.errors import OfaMcuError, UsageError, refusal

if TYPE_CHECKING:
    from ofa_mcu.devices.tflm_build import TflmOptions
    from ofa_mcu.planning.runtime import Runtime as PlanningRuntime
    from ofa_mcu.runs import Run as StoredRun

__all__ = [
    "JSON",
    "Arena",
    "DataDir",
    "Patch",
    "PlannedRuntime",
    "Run",
    "Runtime",
    "Scheduler",
    "TflmLib",
    "TflmPath",
    "Workers",
    "boards_of",
    "cluster_of",
    "counting",
    "emit",
    "failing_as_json",
    "quantity",
    "runtime_named",
    "say",
    "say_runtime",
    "show_table",
    "status",
    "tflm_options",
]

JSON = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout; words go to stderr.")]
Run = Annotated[Path | None, typer.Option("--run", help="Folder of the run (default: the newest under runs/).")]
Runtime = Annotated[str, typer.Option(help="compiled, or tflm: the .tflite file in TFLite Micro.")]
PlannedRuntime = Annotated[
    str, typer.Option("--runtime", help="What will run it: compiled, or tflm (bounds and estimates, not promises).")
]
TflmPath = Annotated[
    Path | None, typer.Option("--tflm-path", help="TFLite Micro's sources as its create_tflm_tree.py writes them.")
]
TflmLib = Annotated[str | None, typer.Option("--tflm-lib", help="Or a package of PlatformIO's registry, for lib_deps.")]
Patch = Annotated[bool, typer.Option("--patch", hidden=True)]
Arena = Annotated[str | None, typer.Option("--arena", help="TFLite Micro's arena (64k); default: as predicted.")]
Workers = Annotated[
    int | None, typer.Option(min=1, metavar="N", help="Processes of this machine that work beside each other.")
]
Scheduler = Annotated[
    str | None, typer.Option(metavar="ADDRESS", help="Have the workers of a Dask scheduler (tcp://HOST:PORT) work.")
]
DataDir = Annotated[Path | None, typer.Option(help="Folder that holds the task's data.")]

_UNITS = {"": 1, "k": 1024, "m": 1024**2}
_COUNTS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9}
_MOST = 1e15
"""No quantity is written with a larger number."""


def say(text: str) -> None:
    """A line for the person at the terminal."""
    print(f"{text}\n", end="", file=sys.stderr, flush=True)  # in one piece, whichever threads speak


def emit(value: dict[str, Any]) -> None:
    """The one JSON object of a verb."""
    typer.echo(json.dumps(value, allow_nan=False))


def quantity(option: str, text: str | None, memory: bool = False) -> int | None:
    """`4M`, `64k`, `2500` as a number; memory counts in 1024s.

    Raises:
        UsageError: the text is no positive number, or a fraction of what cannot be parted.
    """
    if text is None:
        return None
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kKmMgG]?)(?:i?[bB])?", text.strip())
    units = _UNITS if memory else _COUNTS
    if match and float(match[1]) > _MOST:
        raise UsageError(f"{option} '{text[:20]}...' is more than any board has; write for example 64k, 1.5M or 20000")
    amount = int(float(match[1]) * units[match[2].lower()]) if match and match[2].lower() in units else 0
    if amount < 1:
        raise UsageError(f"{option} '{text}' is no positive amount; write for example 64k, 1.5M or 20000")
    if match and not match[2] and float(match[1]) != amount:
        what = "bytes" if memory else "they"
        raise UsageError(f"{option} '{text}' is no whole number, and {what} come whole; write 12 or 64k or 1.5M")
    return amount


def runtime_named(name: str, patch: bool = False) -> PlanningRuntime:
    """The runtime of --runtime; UsageError for an unknown one, and for --patch."""
    from ofa_mcu.planning.runtime import Runtime

    if patch:
        raise UsageError("--patch, execution in patches, is not there yet; leave it out")
    if name not in list(Runtime):
        raise UsageError(f"--runtime '{name}' is neither compiled nor tflm; choose one of these")
    return Runtime(name)


def say_runtime(run: StoredRun, runtime: str) -> None:
    """A word where a run is not run by what it was planned for."""
    if run.runtime != runtime:
        say(f"{run.folder} was planned for --runtime {run.runtime}; this is {runtime}, and other figures hold")


def tflm_options(
    runtime: str, path: Path | None, name: str | None, arena: str | None, patch: bool = False
) -> TflmOptions | None:
    """What --runtime and its options ask for; None for the compiled runtime.

    Raises:
        UsageError: an unknown runtime, options of the other one, or no library.
    """
    if runtime_named(runtime, patch) == "compiled":
        given = {"--tflm-path": path, "--tflm-lib": name, "--arena": arena}
        stray = next((option for option, value in given.items() if value is not None), None)
        if stray:
            raise UsageError(f"{stray} belongs to --runtime tflm; give that, too, or leave it out")
        return None
    from ofa_mcu.devices.tflm_build import TflmOptions
    from ofa_mcu.devices.tflm_library import tflm_library

    return TflmOptions(tflm_library(path, name), quantity("--arena", arena, memory=True))


def show_table(table: Any, width: int) -> None:
    """Print a rich table whose cells are plain text; `width` counts where stdout is no terminal."""
    from rich.console import Console

    Console(width=None if Console().is_terminal else width, markup=False, emoji=False).print(table)


def boards_of(text: str) -> dict[Any, Path | None]:
    """Profiles of `all`, or of ids and profile files with commas between them; with the file where it was one."""
    from ofa_mcu.profiles import all_profiles, load_profile, named_file

    if text == "all":
        return dict.fromkeys(all_profiles())
    names = dict.fromkeys(name for name in (part.strip() for part in text.split(",")) if name)
    return {load_profile(name): named_file(name) for name in names}


def cluster_of(workers: int | None, scheduler: str | None) -> Any:
    """Who works, where not this process alone; None where neither option was given.

    Raises:
        UsageError: both were given, the address is none, or Dask is missing.
    """
    if workers is None and scheduler is None:
        return None
    from ofa_mcu.cluster import Cluster

    return Cluster(workers, scheduler)


@contextmanager
def failing_as_json(wanted: bool, schema: int) -> Iterator[None]:
    """With --json an error is the one object on stdout, too; words and exit code stay as they are."""
    try:
        yield
    except (OfaMcuError, OSError, KeyboardInterrupt) as error:
        if wanted and not isinstance(error, BrokenPipeError):
            code = "interrupted" if isinstance(error, KeyboardInterrupt) else getattr(error, "code", "error")
            details = {"code": code, **(getattr(error, "details", None) or {})}
            message = refusal(error) if isinstance(error, OSError) else str(error) or "interrupted"
            emit({"schema": schema, "error": {**details, "message": message}})
        raise


@contextmanager
def status() -> Iterator[Any]:
    """A line that tells what is going on; on a terminal it is overwritten, elsewhere it does not appear."""
    from rich.console import Console

    with Console(stderr=True, markup=False, emoji=False).status("starting") as line:
        yield line.update


@contextmanager
def counting(label: str) -> Iterator[Any]:
    """A progress bar on stderr; yields the callback (done, total)."""
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task(label, total=None)
        yield lambda done, total: progress.update(bar, completed=done, total=total)
