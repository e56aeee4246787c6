"""The command line: one file per verb, no logic.

Verbs import what they need when they run, so that help answers at once.
"""

from __future__ import annotations

import io
import os
import signal
import sys
import threading

import typer

from ofa_mcu.errors import OfaMcuError, refusal

__all__ = ["app", "main"]

app = typer.Typer(
    name="ofa-mcu",
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
        app(args=arguments)
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
