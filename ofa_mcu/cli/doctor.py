"""`ofa-mcu doctor`: what is there, and what to install."""

from __future__ import annotations

from typing import Annotated

import typer

from ofa_mcu.cli.common import JSON, emit

SCHEMA = 1


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command()(doctor)


def doctor(
    network: Annotated[bool, typer.Option("--network", help="Also ask whether PlatformIO's registry answers.")] = False,
    as_json: JSON = False,
) -> None:
    """List what the tool needs, the version found, and how to get what is missing; exit code 1 where something is.

    What is absent, not missing, hinders only what stands behind it in brackets.
    """
    from dataclasses import asdict

    from ofa_mcu.devices.toolchain import examine

    findings = examine(network)
    missing = [f for f in findings if f.required and not f.found]
    if as_json:
        emit({"schema": SCHEMA, "ok": not missing, "findings": [asdict(f) | {"found": f.found} for f in findings]})
    else:
        for f in findings:
            mark = "ok     " if f.found else "MISSING" if f.required else "absent "
            print(f"{mark} {f.name:<22} {f.version if f.found else f'{f.remedy}  ({f.purpose})'}")
    if missing:
        raise typer.Exit(1)
