"""`ofa-mcu validate`: one model, the same inputs, every interpreter and every build of ours."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ofa_mcu import schemas
from ofa_mcu.cli.common import JSON, emit, failing_as_json, show_table, status

if TYPE_CHECKING:
    from ofa_mcu.devices.validation import Validation

_WIDTH = 170


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command()(validate)


def validate(
    model: Annotated[Path, typer.Argument(help="An int8 .tflite file.")],
    board: Annotated[
        str | None, typer.Option(help="Board whose kernels and plan are tested; default: one core of every kind.")
    ] = None,
    emulate: Annotated[
        bool, typer.Option("--emulate", help="Also on the board's emulated core, every tensor.")
    ] = False,
    port: Annotated[
        str | None,
        typer.Option(help="Also on the board at this serial port, its output; it must run the model already."),
    ] = None,
    inputs: Annotated[int, typer.Option(min=0, help="Random inputs beside the extreme ones.")] = 2,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the random inputs.")] = 0,
    out: Annotated[Path, typer.Option(help="Folder for reproducers (.npz), written where something differs.")] = Path(),
    as_json: JSON = False,
) -> None:
    """Run a model on the same inputs everywhere, and compare every tensor byte for byte.

    The numpy reference is compared with TFLite Micro's host interpreter, LiteRT's reference kernels (a second opinion:
    a difference there is told, no failure), and our C on this machine and in the emulator.

    Exit code 5: our C, the reference and TFLite Micro are not equal in every byte.
    """
    with failing_as_json(as_json, schemas.VALIDATE):
        from ofa_mcu.devices.model_build import read_model
        from ofa_mcu.devices.validation import validate_model
        from ofa_mcu.errors import UsageError
        from ofa_mcu.profiles import load_profile
        from ofa_mcu.reports.validation import validation_json

        if board is None and (emulate or port):
            raise UsageError("--emulate and --port need a board; name it with --board")
        if out.exists() and not out.is_dir():
            raise UsageError(f"--out {out} is a file; name a folder for reproducers")
        profile = None if board is None else load_profile(board)
        with status() as show:
            result = validate_model(
                read_model(model),
                profile,
                emulate=emulate,
                port=port,
                random=inputs,
                seed=seed,
                out=out,
                say=show,
            )
        if as_json:
            emit(validation_json(result, None if profile is None else profile.id))
        else:
            _print(result)
    result.check()


def _print(result: Validation) -> None:
    from rich.table import Table

    from ofa_mcu.reports.layers import shape_text, short_name

    present = [witness for witness in result.witnesses if witness.skipped is None]
    table = Table(title=f"{result.model.path.name}: {result.inputs} inputs, every tensor that survives the passes")
    for heading in ("tensor", "shape", "bytes", "CRC-32", *(witness.name for witness in present)):
        left = heading == "tensor"
        table.add_column(heading, justify="left" if left else "right", overflow="fold", min_width=40 if left else 7)
    for check in result.tensors:
        told = [check.differing.get(witness.name) for witness in present]
        words = ["" if count is None else "equal" if not count else f"{count} differ" for count in told]
        table.add_row(short_name(check.name), shape_text(check.shape), f"{check.bytes:,}", f"{check.crc32:08x}", *words)
    show_table(table, _WIDTH)
    if result.eliminated:
        print(f"{len(result.eliminated)} tensors of the file were eliminated by passes:")
        for gone in result.eliminated:
            differing = [f"{who} differs in {count} bytes" for who, count in gone.differing.items() if count]
            print(f"    {gone.name} ({', '.join([gone.by, *differing])})")
    for witness in result.witnesses:
        print(f"{witness.name}: {_sentence(result, witness.name, witness.skipped)}")


def _sentence(result: Validation, witness: str, skipped: str | None) -> str:
    if skipped is not None:
        return f"skipped: {skipped}"
    count, compared = result.differing_bytes(witness), result.bytes_compared(witness)
    if not count:
        return f"all {compared:,} bytes equal"
    first = result.first_difference(witness)
    where = f", first in layer '{first.layer}' (tensor '{first.name}')" if first else ""
    return f"{count:,} bytes of {compared:,} differ{where}; reproducer {result.reproducers[witness]}"
