"""`ofa-mcu boards`: the boards the tool knows, and what it knows about one of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ofa_mcu.cli.calibrate import calibrate_board
from ofa_mcu.cli.common import failing_as_json, say

if TYPE_CHECKING:
    from ofa_mcu.profiles import BoardProfile

__all__ = ["register"]

SCHEMA = 1
UNKNOWN = "unknown"

JSON = Annotated[bool, typer.Option("--json", help="Print one JSON object to stdout instead of a table.")]


def register(app: typer.Typer) -> None:
    """Add the verb `boards`, its `show` and its `calibrate` to the application."""
    boards = typer.Typer(help="List the boards, show one with the source of every figure, or calibrate one.")
    boards.callback(invoke_without_command=True)(list_boards)
    boards.command("show")(show_board)
    boards.command("calibrate")(calibrate_board)
    app.add_typer(boards, name="boards")


def list_boards(
    context: typer.Context,
    as_json: JSON = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="The list as a Markdown table.")] = False,
) -> None:
    """List the boards, or show one board with the source of every figure.

    A profile is a TOML file; put your own into a folder and name the folder in OFA_MCU_BOARDS, or give the file
    itself wherever a board is asked for. Exit code 2: a profile of yours is broken; the others are listed.
    """
    if context.invoked_subcommand is not None:
        return
    with failing_as_json(as_json, SCHEMA):
        from ofa_mcu.errors import UsageError
        from ofa_mcu.profiles import sound_profiles

        if as_json and markdown:
            raise UsageError("--json and --markdown both say what to print; give one of them")
        profiles, broken = sound_profiles()
    if as_json:
        wrong = [{"file": str(path), "message": str(error)} for path, error in broken.items()]
        listed = [board_json(profile) for profile in profiles]
        typer.echo(json.dumps({"schema": SCHEMA, "boards": listed, "broken": wrong}))
    else:
        print_list(profiles, markdown)
    for error in broken.values():
        say(f"ofa-mcu: {error}")
    if broken:
        raise typer.Exit(next(iter(broken.values())).exit_code)


def print_list(profiles: Sequence[BoardProfile], markdown: bool) -> None:
    """A line for each board."""
    rows = [
        [
            profile.id,
            profile.name,
            profile.core,
            f"{profile.clock_hz / 1e6:g} MHz",
            f"{profile.sram_bytes / 1024:g} KiB",
            f"{profile.flash_bytes / 1024:g} KiB",
            "none" if profile.emulator is None else profile.emulator.machine,
        ]
        for profile in profiles
    ]
    header = ["id", "name", "core", "clock", "SRAM", "flash", "twin"]
    if markdown:
        lines = [header, ["---"] * len(header), *rows]
        typer.echo("\n".join(f"| {' | '.join(line)} |" for line in lines))
        return
    print_table(header, rows)


def show_board(
    board: Annotated[str, typer.Argument(help="Id of a board, or the path of a profile (.toml).", metavar="ID")],
    as_json: JSON = False,
) -> None:
    """Show all that is known about one board, with the source of every figure."""
    with failing_as_json(as_json, SCHEMA):
        from ofa_mcu.planning.latency_files import find_latency
        from ofa_mcu.profiles import load_profile, named_file

        profile = load_profile(board)
        table = find_latency(profile, named_file(board))
    if as_json:
        found = str(table) if table is not None else None
        typer.echo(json.dumps({"schema": SCHEMA, "board": board_json(profile), "latency_table": found}))
        return
    rows = [
        [name if line == 0 else "", text, profile.sources.get(name, "") if line == 0 else ""]
        for name, value in profile.to_dict().items()
        if name != "sources"
        for line, text in enumerate(lines_of(value))
    ]
    if table is not None:
        rows.append(["latency table", str(table), "measured on the board: ofa-mcu boards calibrate"])
    print_table(["field", "value", "source"], rows)


def board_json(profile: BoardProfile) -> dict[str, Any]:
    """All fields of a profile; null where unknown."""
    return profile.to_dict() | {"usb": list(profile.usb) or None}


def lines_of(value: object) -> list[str]:
    """The value of one field as the lines of a table cell."""
    match value:
        case None | ():
            return [UNKNOWN]
        case bool():
            return ["yes" if value else "no"]
        case {"name": name, "origin": int(origin), "bytes": int(size)}:
            return [f"{name}: {size} B at 0x{origin:08x}"]
        case dict():
            return [line for key, item in value.items() for line in lines_of_key(key, item)]
        case tuple():
            return [line for item in value for line in lines_of(item)]
        case _:
            return [str(value)]


def lines_of_key(key: str, value: object) -> list[str]:
    """The lines of one key of a table: one, or one for each key and item below it."""
    match value:
        case dict():
            return [f"{key}.{line}" for name, item in value.items() for line in lines_of_key(name, item)]
        case tuple():
            return [f"{key}: {item}" for item in value]
        case _:
            return [f"{key}: {hexadecimal(key, value)}"]


def hexadecimal(key: str, value: object) -> str:
    """Addresses in hexadecimal, an absent value as a dash."""
    if isinstance(value, int) and key.endswith(("_origin", "_base")):
        return f"0x{value:08x}"
    return "-" if value is None else str(value)


def print_table(header: list[str], rows: list[list[str]]) -> None:
    """A plain table on stdout; as wide as the terminal, or as wide as it needs to be in a pipe."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False, markup=False)
    if not console.is_terminal:
        console.width = 10_000
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for title in header:
        table.add_column(title, overflow="fold")
    for row in rows:
        table.add_row(*row)
    console.print(table)
