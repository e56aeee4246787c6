"""Which run of many is for which board: twins, boards of this machine, boards that a cluster's workers hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from ofa_mcu.devices.board_job import BoardJob
from ofa_mcu.devices.farm_runs import FarmRun
from ofa_mcu.devices.ports import usb_ports
from ofa_mcu.errors import DeviceError, UsageError
from ofa_mcu.runs import Run

__all__ = [
    "Assigned",
    "LeftOut",
    "held_places",
    "on_boards",
    "on_twins",
    "port_names",
    "usb_places",
]

Places = Mapping[str, Sequence[str]]
"""Boards by their id, each as `ID@PORT`, or `ID` where its port is to be found by its USB ids."""


@dataclass(frozen=True)
class LeftOut:
    """A run that is not measured, its board's id, and why."""

    run: Run
    board: str
    reason: str


@dataclass(frozen=True)
class Assigned:
    """Jobs, the id of the board of each, and the runs that are left out."""

    jobs: tuple[BoardJob, ...]
    boards: tuple[str, ...]
    left_out: tuple[LeftOut, ...]


def port_names(texts: Sequence[str]) -> Places:
    """What `BOARD=PORT` options name.

    Raises:
        UsageError: a text is something else, or a port is given twice.
    """
    found: dict[str, list[str]] = {}
    ports: set[str] = set()
    for text in texts:
        name, equals, port = (part.strip() for part in text.partition("="))
        if not (name and equals and port):
            raise UsageError(f"--port '{text}' is no BOARD=PORT; write stm32f746=/dev/ttyACM0, for example")
        if port in ports:
            raise UsageError(f"--port names {port} twice; give each board a port of its own")
        ports.add(port)
        found.setdefault(name, []).append(f"{name}@{port}")
    return found


def usb_places(runs: Sequence[FarmRun], named: Places) -> Places:
    """The boards that are plugged in here: those named, and those with the USB ids of the profile of a run.

    Raises:
        DeviceError: a port may be that of several boards.
    """
    profiles = {each.profile.id: each.profile for each in runs if each.profile.id not in named}
    taken = {place.partition("@")[2] for places in named.values() for place in places}
    found: dict[str, list[str]] = {name: list(places) for name, places in named.items()}
    for port in usb_ports():
        kinds = sorted(name for name, profile in profiles.items() if port.usb in profile.usb)
        if port.name in taken or not kinds:
            continue
        if len(kinds) > 1:
            raise DeviceError(
                f"{port.name} ({port.usb}) may be {' or '.join(kinds)}; say which with --port BOARD={port.name}, or "
                "name the run's own folder"
            )
        found.setdefault(kinds[0], []).append(f"{kinds[0]}@{port.name}")
    return found


def held_places(held: Sequence[str], named: Places) -> Places:
    """The boards that workers hold, or of some kinds those named."""
    found: dict[str, list[str]] = {}
    for board in held:
        found.setdefault(board.partition("@")[0], []).append(board)
    return {**found, **named}


def on_twins(runs: Sequence[FarmRun], common: BoardJob) -> Assigned:
    """Every run in its board's twin; `common` has what all jobs have in common."""
    twins = [each for each in runs if each.profile.emulator is not None]
    return Assigned(
        tuple(replace(common, run=each.run.folder) for each in twins),
        tuple(each.profile.id for each in twins),
        tuple(LeftOut(each.run, each.profile.id, "no twin") for each in runs if each not in twins),
    )


def on_boards(runs: Sequence[FarmRun], places: Places, common: BoardJob) -> Assigned:
    """Every run on a board of its kind; several of both kinds are dealt in their orders.

    Raises:
        UsageError: a place is for a board that no run is for.
        DeviceError: there are more boards of a kind than runs, and nothing says which ones are meant.
    """
    jobs: list[tuple[str, BoardJob]] = []
    left_out: list[LeftOut] = []
    for name in dict.fromkeys(each.profile.id for each in runs):
        mine, there = [each for each in runs if each.profile.id == name], places.get(name, ())
        if len(there) > len(mine):
            raise DeviceError(
                f"{len(there)} boards may be the {name} of {mine[0].run.folder} ({', '.join(there)}); choose one with "
                f"--port {name}=PORT"
            )
        for number, each in enumerate(mine):
            if not there:
                left_out.append(LeftOut(each.run, name, "no such board attached"))
                continue
            place = there[number % len(there)]
            port = place.partition("@")[2] or None
            jobs.append((name, replace(common, run=each.run.folder, board=place, port=port, attached=True)))
    return Assigned(tuple(job for _, job in jobs), tuple(name for name, _ in jobs), tuple(left_out))
