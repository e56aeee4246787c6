"""Boards of several machines: runs measured as tasks of a cluster, each board by one task at a time.

A board is a resource of the worker on the machine that it is plugged into:
`dask worker ADDRESS --nworkers 1 --nthreads 1 --resources "board:NAME=1"`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ofa_mcu.cluster import holders, mapped
from ofa_mcu.devices.trial import Trial, try_run
from ofa_mcu.errors import DeviceError, OfaMcuError, UsageError
from ofa_mcu.profiles import load_profile
from ofa_mcu.runs import Run

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["BoardJob", "held_boards", "measure_boards"]


@dataclass(frozen=True)
class BoardJob:
    """The run in a folder, to be measured with so many test images.

    `board` tells one physical board, or twin, from others: its serial number, say. `port` is its serial port on the
    machine that it is plugged into, None for an emulated twin. `profile` is a board id or a profile's file where the
    board is not the one that the run was searched for. Workers see run, profile and data at the same paths.
    """

    run: Path
    board: str
    port: str | None = None
    profile: str | None = None
    images: int = 200
    data_dir: Path | None = None

    @property
    def resource(self) -> str:
        """What a worker must hold."""
        return f"board:{self.board}"


def held_boards(jobs: Sequence[BoardJob]) -> list[dict[str, float]]:
    """The boards of the jobs, as `Cluster.resources` of workers on this machine."""
    return [{resource: 1.0} for resource in dict.fromkeys(job.resource for job in jobs)]


def measure_boards(
    jobs: Sequence[BoardJob], client: Client, report: Callable[[int, int], None] = lambda done, total: None
) -> list[Trial | OfaMcuError]:
    """What every job measured, in order, or what it failed with: one silent board does not stop the others.

    Raises:
        UsageError: two jobs have the same run.
        DeviceError: no worker holds one of the boards, or several claim to.
        OfaMcuError: the cluster went away.
    """
    folders = [job.run.resolve() for job in jobs]
    for folder in folders:
        if folders.count(folder) > 1:
            raise UsageError(f"two jobs measure {folder}, which keeps one result; give each a run of its own")
    for needs in held_boards(jobs):
        found = len(holders(client, needs))
        if found > 1:
            raise DeviceError(
                f"{found} workers of {client.scheduler.address} hold {', '.join(needs)}; "
                "start one worker process for a board, with --nworkers 1, and the others without it"
            )
    return mapped(client, _measured, jobs, [{job.resource: 1.0} for job in jobs], report)


def _measured(job: BoardJob) -> Trial | OfaMcuError:
    """Runs in the worker that holds the board."""
    run = Run(job.run)
    try:
        profile = load_profile(run.board(job.profile))
        with run.locked():
            return try_run(run, profile, job.port, job.images, job.data_dir)
    except OfaMcuError as error:
        return error
