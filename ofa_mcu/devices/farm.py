"""Boards of one machine or several: runs measured as tasks of a cluster, each board by one task at a time.

A board is a resource of the worker on the machine that it is plugged into:
`dask worker ADDRESS --nworkers 1 --nthreads 1 --resources "board:NAME=1"`.

Nothing that one board or worker does stops the others: a job's process is ended when its time is up, a worker that
dies is started again and its job with it, and who falls silent altogether is given up.
"""

from __future__ import annotations

import queue
import time
import uuid
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from ofa_mcu.cluster import held, holders, result_of, submitted
from ofa_mcu.devices.board_job import RESOURCE, BoardJob
from ofa_mcu.devices.overseen import Outcome, oversee
from ofa_mcu.errors import DeviceError, OfaMcuError, UsageError

if TYPE_CHECKING:
    from distributed import Client, Future

__all__ = ["BoardJob", "Outcome", "boards_held", "held_boards", "measure_boards"]

GRACE_S = 30.0
"""What a worker may take beyond a job's limit, to end the job's process and to say so."""


def held_boards(jobs: Sequence[BoardJob]) -> list[dict[str, float]]:
    """The boards of the jobs, as `Cluster.resources` of workers on this machine."""
    return [{name: amount} for name, amount in dict.fromkeys(need for job in jobs for need in job.needs.items())]


def boards_held(client: Client) -> list[str]:
    """Names of all boards that workers of a cluster hold."""
    names = {name for resources in held(client).values() for name in resources if name.startswith(RESOURCE)}
    return sorted(name.removeprefix(RESOURCE) for name in names)


def measure_boards(
    jobs: Sequence[BoardJob],
    client: Client,
    arrived: Callable[[int, Outcome], None] = lambda number, outcome: None,
    watch: Callable[[int, str, int, int], None] = lambda number, what, done, total: None,
) -> list[Outcome]:
    """What came of every job, in order: one silent board, or one dead worker, does not stop the others.

    `arrived` is called with the number of a job and its outcome as soon as that is known; `watch` with the number, what
    is being done, and how much of how much of that (0 of 0: not counted). Both are called in this thread.

    Raises:
        UsageError: two jobs have the same run.
        DeviceError: no worker holds one of the boards, or several claim to.
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
    return _Watch(jobs, client, arrived, watch).outcomes()


class _Watch:
    """Jobs on their way: what workers say of them, which are done, and which nobody will hear of again."""

    def __init__(
        self,
        jobs: Sequence[BoardJob],
        client: Client,
        arrived: Callable[[int, Outcome], None],
        watch: Callable[[int, str, int, int], None],
    ) -> None:
        self._jobs, self._client = jobs, client
        self._arrived, self._watch = arrived, watch
        self._said: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._topic = f"ofa-mcu-farm-{uuid.uuid4()}"
        self._waiting: dict[int, Future] = {}
        self._begun: dict[int, float] = {}
        self._found: dict[int, Outcome] = {}
        self._moved = time.monotonic()

    def outcomes(self) -> list[Outcome]:
        self._client.subscribe_topic(self._topic, lambda event: self._said.put(event[1]))
        try:
            for number, job in enumerate(self._jobs):
                future = submitted(
                    self._client, "measured", _measured, self._topic, number, job, resources=job.needs or None
                )
                self._waiting[number] = future
                future.add_done_callback(lambda _, number=number: self._said.put({"number": number, "what": None}))
            while self._waiting:
                try:
                    self._hear(self._said.get(timeout=max(self._deadline() - time.monotonic(), 0)))
                except queue.Empty:
                    self._give_up()
        finally:
            self._client.unsubscribe_topic(self._topic)
            if self._waiting:
                self._client.cancel(list(self._waiting.values()), force=True)
        return [self._found[number] for number in range(len(self._jobs))]

    def _hear(self, said: dict[str, Any]) -> None:
        number = said["number"]
        if number not in self._waiting:
            return
        self._moved = time.monotonic()
        if said["what"] is not None:
            if said["begins"] or number not in self._begun:  # again, where its worker had died
                self._begun[number] = self._moved
            self._watch(number, said["what"], said["done"], said["total"])
            return
        try:
            outcome: Outcome = result_of(self._waiting[number])
        except OfaMcuError as error:
            outcome = self._lost(number, error)
        except Exception as error:  # whatever a worker stumbles over is this board's alone
            outcome = self._lost(number, OfaMcuError(f"its worker failed ({error!r}); look at what it printed"))
        self._close(number, outcome)

    def _close(self, number: int, outcome: Outcome) -> None:
        del self._waiting[number]
        self._moved = time.monotonic()
        self._found[number] = outcome
        self._arrived(number, outcome)

    def _lost(self, number: int, error: OfaMcuError) -> Outcome:
        began = self._begun.get(number)
        return Outcome(error, self._jobs[number].port, 0.0 if began is None else time.monotonic() - began)

    def _deadline(self) -> float:
        """Until then something must be heard."""
        ends = [self._begun[n] + self._jobs[n].limit_s for n in self._waiting if n in self._begun]
        if any(n not in self._begun for n in self._waiting):
            # Whoever keeps a job from beginning has begun itself, and ends within its own limit.
            ends.append(self._moved + max(job.limit_s for job in self._jobs))
        return min(ends) + GRACE_S

    def _give_up(self) -> None:
        """On jobs whose time is up, though no worker says so; where there are none, on all that have not begun."""
        now = time.monotonic()
        begun = [number for number in self._waiting if number in self._begun]
        late = [number for number in begun if now > self._begun[number] + self._jobs[number].limit_s + GRACE_S]
        for number in late or [n for n in self._waiting if n not in self._begun]:
            since = "its worker fell silent" if number in self._begun else "no worker began with it"
            machine = "the workers' machines" if self._jobs[number].emulated else "the machine that it is plugged into"
            error = DeviceError(
                f"{since} within {self._jobs[number].limit_s + GRACE_S:g} s; look at {machine}, and run the same "
                "command again"
            )
            self._client.cancel([self._waiting[number]], force=True)
            self._close(number, self._lost(number, error))


def _measured(topic: str, number: int, job: BoardJob) -> Outcome:
    """Runs in the worker that holds the board."""
    from distributed import get_worker

    worker = get_worker()

    def tell(what: str, done: int, total: int, begins: bool = False) -> None:
        worker.log_event(topic, {"number": number, "what": what, "done": done, "total": total, "begins": begins})

    tell("starting", 0, 0, begins=True)
    return oversee(job, tell)
