"""Work for several processes or machines: functions of items as Dask tasks, on an own cluster or on a user's.

A task runs again where its worker died; what it raises is raised here. Dask is the extra `cluster` and is imported when
a cluster is opened.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import re
import signal
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from ofa_mcu import __version__
from ofa_mcu.errors import DeviceError, OfaMcuError, UsageError

if TYPE_CHECKING:
    from distributed import Client, Future

__all__ = ["Cluster", "arrivals", "cores", "held", "holders", "mapped", "result_of", "submitted"]

Item = TypeVar("Item")
Result = TypeVar("Result")

_ADDRESS = re.compile(r"(tcp|tls)://(\[[0-9a-fA-F:]+\]|[\w.-]+):(\d{1,5})")
_ANSWER_SECONDS = 8.0
_numbers = itertools.count()

_CONFIGURATION = {
    "distributed.worker.profile.enabled": False,
    # One thread each; without Dask's own MALLOC_TRIM_THRESHOLD_, under which every large array costs page faults.
    "distributed.nanny.pre-spawn-environ": dict.fromkeys(
        ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"
    ),
}
"""Of own workers."""


def cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(frozen=True)
class Cluster:
    """Who is to work: the workers of the Dask scheduler at an address, or so many processes of this machine.

    `workers` None: one for each core. `resources` has for each of the own processes, in turn, what it alone holds: what
    `--resources` says to a `dask worker`.

    Raises:
        UsageError: both are given, no worker, the address is none, or Dask is not installed.
    """

    workers: int | None = None
    scheduler: str | None = None
    resources: Sequence[Mapping[str, float]] = ()

    def __post_init__(self) -> None:
        if self.workers is not None and self.scheduler is not None:
            raise UsageError("--workers starts processes here and --scheduler names a cluster; give one of them")
        if self.workers is not None and self.workers < 1:
            raise UsageError(f"--workers {self.workers} leaves nobody to work; give 1 or more")
        if self.scheduler is not None and not _is_address(self.scheduler):
            raise UsageError(
                f"--scheduler '{self.scheduler}' is no address; write it as tcp://HOST:PORT, tcp://10.0.0.5:8786 say"
            )
        try:
            import distributed  # noqa: F401
        except ImportError as error:
            raise UsageError(
                f"work for several processes needs Dask ({error}); install it with: pip install 'ofa-mcu[cluster]'"
            ) from error

    @contextmanager
    def client(self) -> Iterator[Client]:
        """Connected to workers that can run this package's tasks; own workers end with the block.

        Raises:
            OfaMcuError: no scheduler answers at the address, it has no workers, or they have another version.
        """
        if self.scheduler is None:
            with self._own() as client:
                yield client
            return
        with _quiet(), _connected(self.scheduler) as client:
            _check_workers(client, self.scheduler)
            yield client

    def check(self) -> None:
        """Raise as `client` does, before long work that ends in needing one; own workers are not tried."""
        if self.scheduler is not None:
            with self.client():
                pass

    @contextmanager
    def _own(self) -> Iterator[Client]:
        import dask
        from distributed import Client, Nanny, Scheduler, SpecCluster

        count = self.workers or max(cores(), 1)
        # A nanny starts its worker again when that dies.
        with _quiet(), tempfile.TemporaryDirectory(prefix="ofa-mcu-dask-", ignore_cleanup_errors=True) as scratch:
            common = {"host": "127.0.0.1", "protocol": "tcp://", "dashboard": False}
            nanny = common | {
                "nthreads": 1,
                "memory_limit": 0,
                "local_directory": scratch,
                "silence_logs": logging.CRITICAL,
                "preload": [__name__],
            }
            workers = {
                number: {"cls": Nanny, "options": nanny | {"resources": self._resources_of(number, count)}}
                for number in range(count)
            }
            scheduler = {"cls": Scheduler, "options": common | {"port": 0, "dashboard_address": "127.0.0.1:0"}}
            with ExitStack() as stack:
                stack.enter_context(dask.config.set(_CONFIGURATION))
                try:
                    cluster = stack.enter_context(SpecCluster(workers, scheduler, silence_logs=logging.CRITICAL))
                    client = stack.enter_context(Client(cluster, set_as_default=False))
                except (OSError, RuntimeError) as error:
                    raise OfaMcuError(
                        f"{count} worker processes did not start ({error}); ask for fewer with --workers"
                    ) from error
                yield client

    def _resources_of(self, number: int, count: int) -> dict[str, float]:
        held: dict[str, float] = {}
        for resources in self.resources[number::count]:
            held |= resources
        return held


def dask_setup(_: object) -> None:
    """What Dask calls in own workers: Ctrl-C is for the process that started them, which ends them."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _is_address(text: str) -> bool:
    match = _ADDRESS.fullmatch(text)
    return match is not None and 0 < int(match[3]) < 65536


@contextmanager
def _quiet() -> Iterator[None]:
    """Dask's own words about what it mends stay out of the verbs'."""
    logger = logging.getLogger("distributed")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(before)


@contextmanager
def _connected(address: str) -> Iterator[Client]:
    from distributed import Client

    try:
        with ThreadPoolExecutor(1) as pool:  # the caller's thread may have a loop of its own
            pool.submit(asyncio.run, _ask_who(address)).result()
        client = Client(address, timeout=_ANSWER_SECONDS, set_as_default=False)
    except (OSError, ValueError, TimeoutError) as error:
        raise OfaMcuError(
            f"no Dask scheduler answers at {address} within {_ANSWER_SECONDS:g} s; start one there (dask scheduler), "
            "or use --workers"
        ) from error
    with client:
        yield client


async def _ask_who(address: str) -> None:
    """Raises where no scheduler is; `Client` would wait without end for the first word of whoever listens there."""
    from distributed.comm import connect
    from distributed.security import Security

    async def identity() -> Any:
        comm = await connect(address, timeout=_ANSWER_SECONDS, **Security().get_connection_args("client"))
        try:
            await comm.write({"op": "identity", "reply": True})
            return await comm.read()
        finally:
            comm.abort()

    said = await asyncio.wait_for(identity(), _ANSWER_SECONDS)
    if not isinstance(said, dict) or said.get("type") != "Scheduler":
        raise ValueError(f"{address} is no scheduler")


def _check_workers(client: Client, address: str) -> None:
    """At least one worker, and all with this version of the package."""
    try:
        client.wait_for_workers(1, timeout=_ANSWER_SECONDS)
    except TimeoutError as error:
        raise OfaMcuError(
            f"the Dask scheduler at {address} has no workers; start some: dask worker {address} --nthreads 1"
        ) from error
    try:
        versions = client.run(_version)
    except Exception as error:
        raise OfaMcuError(
            f"workers of {address} cannot run ofa-mcu ({error}); install the same version there as here"
        ) from error
    for worker, version in versions.items():
        if version != __version__:
            raise OfaMcuError(f"worker {worker} has ofa-mcu {version} and this is {__version__}; install the same")


def _version() -> str:
    return __version__


def arrivals(
    client: Client,
    function: Callable[[Item], Result],
    items: Sequence[Item],
    resources: Sequence[Mapping[str, float]] | None = None,
) -> Iterator[tuple[int, Result]]:
    """Number of an item and what the function gives for it, as results arrive.

    Where the block that iterates ends early, what is not yet done is cancelled.

    Args:
        client: of a cluster.
        function: of a module that workers can import; it may run more than once for an item, after a death.
        items: picklable.
        resources: of each item, what a worker must hold and this task has for itself while it runs.

    Raises:
        DeviceError: no worker holds such resources.
        OfaMcuError: the cluster went away, or an item ended several workers.
        Exception: what the function raises.
    """
    from distributed import as_completed

    for needs in {tuple(sorted(needs.items())) for needs in resources or ()}:
        holders(client, dict(needs))  # Dask would wait for one without end
    name = getattr(function, "__name__", "task").strip("_")
    futures: dict[str, Future] = {}
    numbers: dict[str, int] = {}
    try:
        for number, item in enumerate(items):
            future = submitted(client, name, function, item, resources=dict(resources[number]) if resources else None)
            futures[future.key], numbers[future.key] = future, number
        for future in as_completed(list(futures.values()), loop=client.loop):
            result: Result = result_of(future)
            del futures[future.key]
            yield numbers[future.key], result
    finally:
        if futures:
            client.cancel(list(futures.values()), force=True)


def submitted(client: Client, name: str, function: Callable[..., Any], *arguments: Any, **options: Any) -> Future:
    """A task of its own, whatever other tasks have the same function and arguments; tasks of a kind share a name."""
    return client.submit(function, *arguments, key=f"{name}-{os.getpid()}-{next(_numbers)}", pure=False, **options)


def mapped(
    client: Client,
    function: Callable[[Item], Result],
    items: Sequence[Item],
    resources: Sequence[Mapping[str, float]] | None = None,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> list[Result]:
    """`arrivals` in the order of the items; `report(done, total)` is called with each."""
    found: dict[int, Result] = {}
    for number, result in arrivals(client, function, items, resources):
        found[number] = result
        report(len(found), len(items))
    return [found[number] for number in range(len(items))]


def result_of(future: Future) -> Any:
    """What the task gave.

    Raises:
        OfaMcuError: the cluster went away, or the task ended several workers.
        Exception: what the task raised.
    """
    from concurrent.futures import CancelledError

    from distributed.comm import CommClosedError
    from distributed.scheduler import KilledWorker

    try:
        return future.result()
    except KilledWorker as error:
        raise OfaMcuError(
            f"task {future.key} ended every worker that tried it, the last at {error.last_worker.address}; "
            "look at the memory there, and at what the worker printed"
        ) from error
    except (CancelledError, CommClosedError) as error:
        raise OfaMcuError(
            f"the Dask cluster went away while task {future.key} was running; run the same command again"
        ) from error


def held(client: Client) -> Mapping[str, Mapping[str, float]]:
    """What every worker holds, free or not, by its address."""
    found: Mapping[str, Mapping[str, float]] = client.run(_resources, on_error="ignore")
    return found


def holders(client: Client, needs: Mapping[str, float]) -> list[str]:
    """Addresses of the workers that hold all of these resources, free or not; at least one.

    Raises:
        DeviceError: no worker does.
    """
    found = [
        address
        for address, resources in held(client).items()
        if all(resources.get(name, 0) >= amount for name, amount in needs.items())
    ]
    if not found:
        spelled = " ".join(f"{name}={amount:g}" for name, amount in sorted(needs.items()))
        raise DeviceError(
            f"no worker of {client.scheduler.address} holds {spelled}; "
            f'start one where it is plugged in: dask worker ADDRESS --nthreads 1 --resources "{spelled}"'
        )
    return found


def _resources(dask_worker: Any) -> dict[str, float]:
    return dict(dask_worker.state.total_resources)
