"""The command line: one file per verb, no logic.

Verbs import what they need when they run, so that help answers at once.
"""

from __future__ import annotations

import io
import os
import signal
import sys
import threading
from typing import Any, NoReturn

import typer

from ofa_mcu import schemas
from ofa_mcu.cli.common import emit
from ofa_mcu.errors import OfaMcuError, UsageError, refusal

__all__ = ["app", "main"]

_NAME = "ofa-mcu"
_INTERRUPTED = 130

app = typer.Typer(
    name=_NAME,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.callback()
def _root() -> None:
    """One trained network, a firmware for every microcontroller."""


def _register_verbs() -> None:
    from ofa_mcu.cli import (
        bench,
        boards,
        build,
        carbon,
        compile,
        crosscheck,
        demo,
        doctor,
        energy,
        farm,
        flash,
        fleet,
        init,
        results,
        search,
        space,
        train,
        validate,
    )

    for verb in (
        demo,
        search,
        fleet,
        compile,
        validate,
        build,
        bench,
        flash,
        farm,
        crosscheck,
        space,
        train,
        energy,
        carbon,
        results,
        boards,
        init,
        doctor,
    ):
        verb.register(app)


_register_verbs()


def _prepare() -> None:
    """Characters that the terminal has not are replaced, and SIGTERM tidies up like Ctrl-C."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.default_int_handler)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; a user's mistake ends in one sentence on stderr and the right exit code."""
    _prepare()
    try:
        code = app(args=arguments, prog_name=_NAME, standalone_mode=False)
    except OfaMcuError as error:
        print(f"ofa-mcu: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        # who read our output has seen enough; leave nothing for the interpreter to flush
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        print(f"ofa-mcu: {refusal(error)}", file=sys.stderr)
        sys.exit(1)
    except Exception as error:
        if not hasattr(error, "format_message"):
            raise
        _misread(error, sys.argv[1:] if arguments is None else arguments)
    if code == _INTERRUPTED:
        print("ofa-mcu: interrupted", file=sys.stderr)
    sys.exit(code or 0)


def _misread(error: Any, arguments: list[str]) -> NoReturn:
    """Ends with what the parser of options did not understand: a ClickException, of Click or of Typer's copy of it."""
    if type(error).__name__ == "NoArgsIsHelpError":
        error.show()  # the help itself
        sys.exit(error.exit_code)
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else _NAME
    message = f"{' '.join(error.format_message().split()).rstrip('.')}; see {path} --help"
    if "--json" in arguments:
        schema = getattr(schemas, path.split()[-1].upper(), 1)
        emit({"schema": schema, "error": {"code": UsageError.code, "message": message}})
    print(f"ofa-mcu: {message}", file=sys.stderr)
    sys.exit(error.exit_code)
