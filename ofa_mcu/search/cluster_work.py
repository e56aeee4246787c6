"""`Work` done by a cluster: one Dask task for each archive, front, subnet, compilation and test, whoever asks for it.

A worker loads supernet and data when it first needs them, from its own disk, and keeps them; it works on one task at a
time. Results are those of `Work`, to the bit.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Hashable, Iterator, Sequence
from concurrent.futures import CancelledError
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ofa_mcu.cluster import arrivals, result_of, submitted
from ofa_mcu.errors import OfaMcuError
from ofa_mcu.ledger import Tally
from ofa_mcu.planning.core_model import core_of
from ofa_mcu.planning.runtime import Runtime, Settled, settled
from ofa_mcu.profiles.profile import BoardProfile
from ofa_mcu.search.archive import Archive
from ofa_mcu.search.budget import Budget
from ofa_mcu.search.candidates import Candidate, CandidatePool
from ofa_mcu.search.nsga import evolved
from ofa_mcu.search.predictor import Predictor
from ofa_mcu.search.work import Tested, Work, test
from ofa_mcu.space.subnet import Subnet
from ofa_mcu.supernet.shipped_files import SUPERNET_FILE, supernet_folder
from ofa_mcu.tasks.registry import task_named
from ofa_mcu.tasks.task import Dataset

if TYPE_CHECKING:
    from distributed import Client, Future

    from ofa_mcu.quantization.evaluate import Evaluator, Specialised

__all__ = ["ClusterWork", "Origin", "labelled"]


@dataclass(frozen=True)
class Origin:
    """Where any process finds a supernet and its data, and how it knows that they are the ones meant.

    `supernet` None: the shipped one; `data_dir` None: where that process' environment says.
    """

    task: str
    supernet: Path | None
    data_dir: Path | None
    supernet_digest: str
    data_digest: str

    @classmethod
    def of(cls, task: str, supernet: Path | None, data_dir: Path | None, data: Dataset) -> Origin:
        """Of what this process has."""
        folder = supernet.resolve() if supernet else None
        digest = _digest_of(supernet_folder(task, folder) / SUPERNET_FILE)
        return cls(task, folder, data_dir.resolve() if data_dir else None, digest, _digest(data))

    def evaluator(self) -> Evaluator:
        """Loads both.

        Raises:
            OfaMcuError: this process finds others.
        """
        from ofa_mcu.quantization.evaluate import Evaluator
        from ofa_mcu.supernet.store import load_supernet

        path = supernet_folder(self.task, self.supernet) / SUPERNET_FILE
        if _digest_of(path) != self.supernet_digest:
            raise OfaMcuError(f"{path} is another supernet on a worker than here; give all workers the same file")
        data = task_named(self.task, self.data_dir).load(self.data_dir)
        if _digest(data) != self.data_digest:
            raise OfaMcuError(f"a worker has other data of task '{self.task}' than this machine; give all the same")
        return Evaluator(load_supernet(path)[0], data)


def _digest_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _digest(data: Dataset) -> str:
    """Of the examples that an evaluation reads."""
    from ofa_mcu.tasks.task import CALIBRATION_IMAGES, digest_of

    return digest_of(data.train.first(CALIBRATION_IMAGES), data.validation, data.test, *data.apart.values())


@dataclass(frozen=True)
class Done:
    """What a task gave, and the seconds that it took its worker: on the clock, and of processors."""

    value: Any
    wall: float
    device: float


_one_at_a_time = threading.Lock()
"""Torch's number of threads belongs to the process; a worker may have several threads of its own."""


def _timed(function: Callable[..., Any], *arguments: Any) -> Done:
    """Runs in a worker."""
    with _one_at_a_time:
        began, cpu = time.monotonic(), time.process_time()
        value = function(*arguments)
        return Done(value, time.monotonic() - began, time.process_time() - cpu)


@lru_cache(maxsize=2)
def _evaluator(origin: Origin) -> Evaluator:
    return origin.evaluator()


def _archive(predictor: Predictor, profile: BoardProfile, runtime: Runtime, seed: int) -> Archive:
    return evolved(Archive(predictor, profile, runtime=runtime), None, seed, lambda text: None)


def _planned(predictor: Predictor, budget: Budget, subnets: list[Subnet]) -> list[Candidate]:
    return list(map(CandidatePool(predictor, budget), subnets))


def _scored(origin: Origin, subnet: Subnet) -> tuple[Specialised, float]:
    return _evaluator(origin).specialise_and_score([subnet], "validation")[0]


def _tested(origin: Origin, pick: Specialised, seed: int) -> Tested:
    return test(_evaluator(origin), pick, seed)


def _labelled(work: tuple[Origin, Subnet]) -> Done:
    return _timed(_label, *work)


def _label(origin: Origin, subnet: Subnet) -> float:
    evaluator = _evaluator(origin)
    return evaluator.float_accuracy(evaluator.float_network(subnet), "validation")


def labelled(
    client: Client, origin: Origin, subnets: Sequence[Subnet], tally: Tally | None = None
) -> Iterator[tuple[Subnet, float]]:
    """Subnets with their float accuracy (0..1) on validation examples, as they arrive; `tally` adds up the work."""
    for number, done in arrivals(client, _labelled, [(origin, subnet) for subnet in subnets]):
        if tally is not None:
            tally.add(done.wall, done.device)
        yield subnets[number], done.value


class ClusterWork(Work):
    """`Work` by the workers of a cluster. Several threads may ask; what one of them asked for serves all.

    `origin` is asked when supernet and data are first needed.
    """

    def __init__(
        self, predictor: Predictor, evaluator: Callable[[], Evaluator], origin: Callable[[], Origin], client: Client
    ) -> None:
        super().__init__(predictor, evaluator)
        self._find, self._client = origin, client
        self._origin: Origin | None = None
        self._futures: dict[Hashable, tuple[Future, Tally | None]] = {}
        self._values: dict[Hashable, Any] = {}
        self._cancelled = False
        self._finding, self._lock = threading.Lock(), threading.Lock()
        self._mine = threading.local()

    def stopwatch(self) -> Tally:
        """Of what this thread is the first to ask for."""
        tally = Tally()
        self._mine.tally = tally
        return tally

    def archive(self, profile: BoardProfile, runtime: Runtime, seed: int, show: Callable[[str], None]) -> Archive:
        """As of `Work`; nothing is shown."""
        name = ("archive", core_of(profile), runtime, seed)
        self._ask(name, _archive, self.predictor, profile, runtime, seed)
        archive: Archive = self._answer(name)
        return archive

    def planned(self, budget: Budget, subnets: Sequence[Subnet]) -> list[Candidate]:
        """As of `Work`."""
        name = ("planned", object())
        self._ask(name, _planned, self.predictor, budget, list(subnets))
        found: list[Candidate] = self._answer(name)
        return found

    def measured(self, subnets: Sequence[Subnet], budget: Budget) -> list[tuple[Specialised, float, Settled]]:
        """As of `Work`."""
        for subnet in subnets:
            self._ask(("scored", subnet), _scored, self._where(), subnet)
        scored = [self._answer(("scored", subnet)) for subnet in subnets]
        sram = budget.max_sram
        names = [("settled", net, budget.profile, budget.runtime, sram) for net, _ in scored]
        for name, (net, _) in zip(names, scored, strict=True):
            self._ask(name, settled, net.graph, budget.profile, budget.runtime, sram)
        return [(net, score, self._answer(name)) for name, (net, score) in zip(names, scored, strict=True)]

    def tested(self, pick: Specialised, seed: int) -> Tested:
        """As of `Work`."""
        name = ("tested", pick, seed)
        self._ask(name, _tested, self._where(), pick, seed)
        tested: Tested = self._answer(name)
        return tested

    def cancel(self) -> None:
        """What is not done will not be; threads that wait for it get an error."""
        with self._lock:
            self._cancelled = True
            self._client.cancel([future for future, _ in self._futures.values()], force=True)

    def _where(self) -> Origin:
        with self._finding:
            if self._origin is None:
                self._origin = self._find()
            return self._origin

    def _ask(self, name: Hashable, function: Callable[..., Any], *arguments: Any) -> None:
        with self._lock:
            if self._cancelled:
                raise CancelledError
            if name not in self._futures and name not in self._values:
                future = submitted(self._client, function.__name__.strip("_"), _timed, function, *arguments)
                self._futures[name] = future, getattr(self._mine, "tally", None)

    def _answer(self, name: Hashable) -> Any:
        with self._lock:
            if name in self._values:
                return self._values[name]
            future, tally = self._futures[name]
        done: Done = result_of(future)
        with self._lock:
            if name not in self._values:
                self._values[name] = done.value
                del self._futures[name]
                if tally is not None:
                    tally.add(done.wall, done.device)
            return self._values[name]
