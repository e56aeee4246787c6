"""A board's job in a process of its own, which is ended when its time is up, wherever it hangs.

Serial ports, probes and emulators can hold a process in calls that do not return. So the job's process does nothing
else, tells through a pipe how far it is, and whoever waits for it never waits for more than the pipe.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO, Any

from ofa_mcu.devices.board_job import BoardJob, Tell, obey
from ofa_mcu.devices.emulator import die_with_parent
from ofa_mcu.devices.trial import Trial
from ofa_mcu.errors import DeviceError, OfaMcuError, refusal

__all__ = ["Outcome", "oversee"]

_CHILD = "from ofa_mcu.devices.overseen import child; child()"
_END_S = 3.0
_TELL_S = 0.2


@dataclass(frozen=True, eq=False)
class Outcome:
    """What came of a job: its trial, or the error that it ended with; the board's port, and the seconds it took."""

    result: Trial | OfaMcuError
    port: str | None
    seconds: float


def oversee(job: BoardJob, tell: Tell) -> Outcome:
    """What comes of a job, within its limit and the few seconds that ending a process takes.

    `tell` is called in this thread, a few times a second at most. The process dies with the thread that called this
    (where util-linux's setpriv is there), and what it started dies with it.
    """
    began = time.monotonic()
    said: queue.SimpleQueue[Any] = queue.SimpleQueue()
    at = "starting"
    with tempfile.TemporaryFile() as words:
        process = subprocess.Popen(
            [*die_with_parent(), sys.executable, "-c", _CHILD],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=words,
            start_new_session=True,
        )
        assert process.stdin is not None and process.stdout is not None
        # A daemon: what cannot be ended (in a call of a broken driver) may keep its end of the pipe open.
        threading.Thread(target=_read, args=(process.stdout, said.put), daemon=True).start()
        try:
            with contextlib.suppress(BrokenPipeError):
                process.stdin.write(pickle.dumps(job))
                process.stdin.close()
            while True:
                message = said.get(timeout=max(began + job.limit_s - time.monotonic(), 0))
                if isinstance(message, tuple):
                    what, done, total = message
                    at = f"{what}, {done} of {total}" if total else what
                    tell(what, done, total)
                elif isinstance(message, Outcome):
                    return message
                else:
                    result = _ended(process, words)
                    break
        except queue.Empty:
            way = "measure fewer --images" if job.emulated else "check the board's cable and reset it"
            result = DeviceError(
                f"not done within {job.limit_s:g} s (it was {at}); {way}, or allow more with --timeout"
            )
        finally:
            _end(process)
    return Outcome(result, job.port, time.monotonic() - began)


def _read(source: IO[bytes], put: Callable[[Any], None]) -> None:
    """Everything that the process says, then None."""
    with source, contextlib.suppress(EOFError, OSError, pickle.UnpicklingError):
        while True:
            put(pickle.load(source))
    put(None)


def _ended(process: subprocess.Popen[bytes], words: IO[bytes]) -> OfaMcuError:
    """The error for a process that went without a result."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_END_S)
    code = process.returncode
    how = "closed its pipe" if code is None else f"ended with code {code}"
    if code is not None and code < 0:
        how = f"was ended by {signal.Signals(-code).name}"
    words.seek(0)
    last = words.read().decode(errors="replace").strip().rpartition("\n")[2]
    return OfaMcuError(f"the process that measured {how}{f' ({last})' if last else ''}; run the same command again")


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ends the process and everything that it started; gives up on what does not die."""
    import psutil

    with contextlib.suppress(psutil.NoSuchProcess):
        own = psutil.Process(process.pid)
        for each in (own, *own.children(recursive=True)):
            with contextlib.suppress(psutil.NoSuchProcess):
                each.kill()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_END_S)


def child() -> None:
    """The process itself: a pickled job on stdin, what it says as pickles on stdout."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # words of others, and what is started, stay out of the pipe
    job: BoardJob = pickle.load(sys.stdin.buffer)
    began = time.monotonic()
    last: tuple[str, float] = "", 0.0

    def say(message: object) -> None:
        answers.write(pickle.dumps(message))
        answers.flush()

    def tell(what: str, done: int, total: int) -> None:
        nonlocal last
        now = time.monotonic()
        if what != last[0] or now - last[1] > _TELL_S or done == total:
            last = what, now
            say((what, done, total))

    port = job.port
    try:
        result: Trial | OfaMcuError
        result, port = obey(job, tell)
    except OfaMcuError as error:
        result = error
    except OSError as error:
        result = OfaMcuError(refusal(error))
    except Exception:
        traceback.print_exc()
        sys.exit(1)
    say(Outcome(result, port, time.monotonic() - began))
