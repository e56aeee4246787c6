"""`ofa-mcu bench`: a run on a board or its twin, measured over serial."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ofa_mcu import schemas
from ofa_mcu.cli.common import (
    JSON,
    Arena,
    DataDir,
    Patch,
    Run,
    Runtime,
    TflmLib,
    TflmPath,
    counting,
    emit,
    failing_as_json,
    say,
    say_runtime,
    show_table,
    tflm_options,
)
from ofa_mcu.errors import OfaMcuError, UsageError

if TYPE_CHECKING:
    from ofa_mcu.reports.regression import Comparison


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command()(bench)


def bench(
    run: Run = None,
    emulate: Annotated[bool, typer.Option("--emulate", help="Run on the board's emulated twin.")] = False,
    port: Annotated[str | None, typer.Option(help="Serial port of the board, /dev/ttyACM0 for example.")] = None,
    baud: Annotated[
        int | None,
        typer.Option(
            min=9600, help="Speed of the serial line, where it is sound; without it the highest of several that is."
        ),
    ] = None,
    board: Annotated[str | None, typer.Option(help="Another board than the one searched for.")] = None,
    images: Annotated[int, typer.Option(min=1, help="Test images to run.")] = 200,
    data_dir: DataDir = None,
    runtime: Runtime = "compiled",
    tflm_path: TflmPath = None,
    tflm_lib: TflmLib = None,
    arena: Arena = None,
    patch: Patch = False,
    baseline: Annotated[
        Path | None,
        typer.Option(help="What bench --json printed earlier; what is worse now ends with exit code 6."),
    ] = None,
    max_regress: Annotated[
        str | None,
        typer.Option(
            metavar="NAME=AMOUNT,...",
            help="How much worse sram, flash, instructions, milliseconds, stack (0, 1k, 0.5%) and accuracy (in points) "
            "may be; unless said: sram=0,flash=0,instructions=0.5%,accuracy=0, and no bound on the others.",
        ),
    ] = None,
    junit: Annotated[Path | None, typer.Option(help="Write the checks as JUnit XML, too.")] = None,
    as_json: JSON = False,
) -> None:
    """Run test images on a device: every output byte compared, instructions or time, accuracy, stack.

    With --runtime tflm and --emulate both runtimes are built and run, and stand side by side.

    Exit code 5: a byte differs from the reference. Exit code 6: a figure is worse than in --baseline by more than
    --max-regress allows.
    """
    with failing_as_json(as_json, schemas.BENCH), failing_as_junit(junit, baseline):
        from ofa_mcu.devices.trial import try_run
        from ofa_mcu.files import write_bytes
        from ofa_mcu.profiles import load_profile
        from ofa_mcu.reports.junit import Case, bench_cases, junit_xml
        from ofa_mcu.reports.regression import allowances, check_alike, compare, read_baseline
        from ofa_mcu.runs import find_run

        if emulate == (port is not None):
            raise UsageError("bench needs either --emulate or --port (a board's serial port)")
        if max_regress is not None and baseline is None:
            raise UsageError("--max-regress compares with --baseline; give both or neither")
        allowed = allowances(max_regress)
        if emulate and baud is not None:
            raise UsageError("--baud is the speed of a board's port and an emulator has none: leave it out")
        options = None
        if patch or runtime != "tflm" or port is None:
            options = tflm_options(runtime, tflm_path, tflm_lib, arena, patch)
        if options is not None and options.library.tree is None:
            raise UsageError("the emulated twin with --runtime tflm is built from sources: give --tflm-path DIR")
        chosen = find_run(run)
        say_runtime(chosen, runtime)
        profile = load_profile(chosen.board(board))
        earlier = None
        if baseline is not None:
            earlier = read_baseline(baseline, profile.id)
            check_alike(earlier, {"runtime": runtime, "task": chosen.task}, baseline)
        with chosen.locked(), counting("measuring") as progress:
            trials = []
            if options is not None:  # the cheaper one first
                trials.append(try_run(chosen, profile, port, images, data_dir, progress, say, baud, runtime="compiled"))
            trials.append(
                try_run(chosen, profile, port, images, data_dir, progress, say, baud, options, runtime=runtime)
            )
        results = [trial.to_json() for trial in trials]
        result = results[-1] if len(results) == 1 else results[-1] | {"beside": results[0]}
        comparison, incomparable = None, None
        if earlier is not None and baseline is not None:
            try:
                comparison = compare(earlier, result, allowed, baseline)
            except UsageError as error:  # what was measured is told all the same
                incomparable = error
        if junit is not None:
            cases = bench_cases(result, comparison)
            if incomparable is not None:
                cases.append(Case("comparing with the baseline", str(incomparable), "error"))
            write_bytes(junit, junit_xml(f"{_SUITE}.{profile.id}", cases))
        if as_json:
            beside: dict[str, Any] = {} if comparison is None else {"comparison": comparison.to_json()}
            if incomparable is not None:
                beside["error"] = {"code": incomparable.code, "message": str(incomparable)}
            emit(result | beside)
        else:
            print_trial(result)
            if len(results) > 1:
                _print_side_by_side(results)
            if comparison is not None:
                _print_comparison(comparison)
    for trial in trials:
        trial.check()
    if incomparable is not None:
        raise incomparable
    if comparison is not None:
        comparison.check()


def _print_side_by_side(results: list[dict[str, Any]]) -> None:
    from rich.table import Table

    from ofa_mcu.devices.tflm_build import side_by_side

    head, *rows = side_by_side({result["runtime"]: result for result in results})
    table = Table(title=f"{results[0]['board']}, emulated: both runtimes on the same {results[0]['images']} images")
    for index, heading in enumerate(head):
        table.add_column(heading, justify="right" if index else "left")
    for row in rows:
        table.add_row(*row)
    show_table(table, 100)


_SUITE = "ofa-mcu.bench"


@contextmanager
def failing_as_junit(file: Path | None, baseline: Path | None) -> Iterator[None]:
    """An error is a test case of the file, too: CI shows the sentence where it shows the tests.

    Raises:
        UsageError: the file cannot be written, or is the baseline's.
    """
    from ofa_mcu.files import check_file, write_bytes

    if file is not None:
        check_file(file, "--junit")
        if baseline is not None and file.resolve() == baseline.resolve():
            raise UsageError(f"--junit {file} is the file of --baseline; name another")
    try:
        yield
    except OfaMcuError as error:
        if file is not None:
            from ofa_mcu.reports.junit import Case, junit_xml

            with suppress(OSError):  # the disk is full by now: what is told is the error
                write_bytes(file, junit_xml(_SUITE, [Case("measuring", str(error), "error")]))
        raise


def print_trial(result: dict[str, Any]) -> None:
    """A measurement, for a person."""
    print(f"board         {result['board']} ({result['transport']}, counter: {result['counter']})")
    _print_firmware(result)
    if result["baud"] is not None:
        print(f"line          {result['baud']} baud")
    print(f"bytes         {result['differing_bytes']} of {result['bytes_compared']} differ from the reference")
    print(f"accuracy      {100 * result['accuracy']:.2f} % of {result['images']} test images")
    if result["instructions"] is not None:
        print(
            f"instructions  {result['instructions']} per inference (median of {result['runs']}, after "
            f"{result['warmup']} warm-up; {result['instructions_min']} to {result['instructions_max']}); "
            "an emulator counts instructions, not time"
        )
        print(f"repeated      {', '.join(map(str, result['instructions_repeated']))} for one and the same input")
    if result["milliseconds"] is not None:
        print(f"time          {result['milliseconds']:.3f} ms per inference (median of {result['runs']})")
    if result["cycles"] is not None:
        print(f"cycles        {result['cycles']} per inference (median)")
    for name in ("sram", "flash"):
        if result[f"{name}_linked"] is not None:
            linked, promised = result[f"{name}_linked"], result[f"{name}_promised"]
            print(f"{name.replace('sram', 'SRAM'):<13} {linked} B linked, {promised} B promised")
    print(f"stack         {result['stack_used']} B used of {result['stack_reserved']} B reserved")


def _print_firmware(result: dict[str, Any]) -> None:
    """What the firmware says of itself, where it does."""
    words = [f"{result['runtime']}", *([f"{result['kernels']} kernels"] if result["kernels"] else [])]
    words += [f"image {result['image_crc32']:08x}"] if result["image_crc32"] else []
    print(f"firmware      {', '.join([*words, *([result['flags']] if result['flags'] else [])])}")
    if result["core_hz"] is not None:
        caches = {None: "", "none": ", no caches", "off": ", caches off"}
        shown = caches.get(result["caches"], f", caches {result['caches']}")
        print(f"core          {result['core_hz'] / 1e6:.6g} MHz, {result['core_hz_basis'] or 'declared'}{shown}")


def _print_comparison(comparison: Comparison) -> None:
    print(f"against       {comparison.path}")
    for row in comparison.figures:
        if row.verdict != "absent":
            print(f"  {row.verdict:<11} {row.sentence}")
