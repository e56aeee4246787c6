"""One run on one board: built and uploaded where that is asked for, then measured."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ofa_mcu.devices.firmware import project_of, run_graph
from ofa_mcu.devices.flash import flash_board
from ofa_mcu.devices.flash_plan import plan_flash
from ofa_mcu.devices.greeting import await_firmware
from ofa_mcu.devices.ports import find_port
from ofa_mcu.devices.trial import Trial, try_run
from ofa_mcu.errors import UsageError
from ofa_mcu.profiles import load_profile
from ofa_mcu.profiles.profile import BoardProfile
from ofa_mcu.runs import Run

__all__ = ["LIMIT_S", "RESOURCE", "BoardJob", "Tell", "obey"]

LIMIT_S = 900.0
"""What a board may take unless somebody says otherwise, building and uploading included."""
RESOURCE = "board:"
"""Beginning of the name of a worker's resource that is a board."""

Tell = Callable[[str, int, int], None]
"""Called with what is being done, and how much of how much of it; 0 of 0 where that is not counted."""


@dataclass(frozen=True)
class BoardJob:
    """The run in a folder, to be measured with so many test images within `limit_s` seconds.

    `board` tells one physical board, or twin, from others: its id and port, say; None: any worker has what it takes.
    `port` is its serial port on the machine that it is plugged into. Without one the board is the emulated twin, or,
    where it is `attached`, whatever there has the profile's USB ids. `profile` is a board id or a profile's file where
    the board is not the one that the run was searched for. With `flash` the run is built for the board and uploaded
    first. Workers see run, profile and data at the same paths.
    """

    run: Path
    board: str | None = None
    port: str | None = None
    profile: str | None = None
    images: int = 200
    data_dir: Path | None = None
    attached: bool = False
    flash: bool = False
    limit_s: float = LIMIT_S

    @property
    def needs(self) -> dict[str, float]:
        """What a worker must hold, and this job has for itself."""
        return {} if self.board is None else {f"{RESOURCE}{self.board}": 1.0}

    @property
    def emulated(self) -> bool:
        """Whether it is the twin that is measured."""
        return self.port is None and not self.attached


def obey(job: BoardJob, tell: Tell) -> tuple[Trial, str | None]:
    """The measurement, and the board's port; nothing goes into the file of results.

    Raises:
        OfaMcuError: as `flash_board`, `await_firmware` and `try_run` say.
    """
    run = Run(job.run)
    profile = load_profile(run.board(job.profile))
    with run.locked():
        port = job.port
        if job.flash and not job.emulated:
            port = _flashed(run, profile, port, tell)
        elif job.attached:
            port = find_port(profile, port)
        tell("building" if port is None else "asking the board", 0, 0)
        trial = try_run(
            run,
            profile,
            port,
            job.images,
            job.data_dir,
            progress=lambda done, total: tell("measuring", done, total),
            noted=False,
        )
    return trial, port


def _flashed(run: Run, profile: BoardProfile, port: str | None, tell: Tell) -> str:
    """The port of the board that took the run and says that it runs it."""
    plan = plan_flash(profile, port)
    if port is None and not profile.usb:
        raise UsageError(f"the profile of {profile.id} has no USB ids of its serial port; name it with --port")
    _, crc = run_graph(run)
    project, _ = project_of(run, plan.profile)
    tell("building and uploading", 0, 0)
    flash_board(project, plan.profile, port=plan.upload_port, upload_flags=plan.upload_flags)
    tell("waiting for the new firmware", 0, 0)
    return await_firmware(plan.profile, port, crc, project.image_crc32)[0]
