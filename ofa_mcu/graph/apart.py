"""Native code of others in a process of its own: where that aborts, this one lives on and says so."""

from __future__ import annotations

import faulthandler
import os
import pickle
import signal
import warnings
from collections.abc import Callable
from typing import TypeVar

from ofa_mcu.errors import OfaMcuError

__all__ = ["apart"]

_Result = TypeVar("_Result")


def apart(work: Callable[[], _Result], name: str) -> _Result:
    """What `work` returns, or raises, computed in a fork of this process; both must be picklable.

    Raises OfaMcuError naming `name` where the process ends without an answer, as by an assertion of native code.
    """
    reader, writer = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # other threads do not touch what the child computes with
        child = os.fork()
    if child == 0:
        faulthandler.disable()  # how it ends is told by this process
        try:
            try:
                answer: tuple[bool, object] = True, work()
            except Exception as error:
                answer = False, error
            with os.fdopen(writer, "wb") as out:
                pickle.dump(answer, out)
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as source:
        data = source.read()
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status < 0 or not data:
        how = f"by {signal.Signals(-status).name}" if status < 0 else "without an answer"
        raise OfaMcuError(
            f"{name} ended {how} on this model, so it cannot say what it computes: nothing can be compared with it"
        )
    succeeded, value = pickle.loads(data)
    if not succeeded:
        raise value
    result: _Result = value
    return result
