"""What `ofa-mcu train` does: a supernet with its predictor, or one network with its int8 file, and a report."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ofa_mcu import schemas
from ofa_mcu.errors import UsageError
from ofa_mcu.files import write_json
from ofa_mcu.supernet.shipped_files import PREDICTOR_FILE
from ofa_mcu.tasks.registry import task_named

if TYPE_CHECKING:
    from ofa_mcu.cluster import Cluster
    from ofa_mcu.training.ranks import Ranks
    from ofa_mcu.training.recipe import Recipe

__all__ = ["RESULT_FILE", "TrainRequest", "train"]

RESULT_FILE = "result.json"


@dataclass(frozen=True)
class TrainRequest:
    """What a user asks: `subnet` for one plain network, `early_bird` (per cent of the channels) for its ticket,
    `space_file` for another space than the task's own, `start` for a supernet to go on from, `cluster` for who measures
    subnets, where not this process."""

    task: str
    recipe: Recipe
    out: Path
    data_dir: Path | None = None
    threads: int | None = None
    device: str = "auto"
    subnet: str | None = None
    early_bird: float | None = None
    late_ticket: bool = False
    predictor_subnets: int = 300
    space_file: Path | None = None
    start: Path | None = None
    cluster: Cluster | None = None


def train(
    request: TrainRequest, report: Callable[[int, int], None] = lambda done, total: None
) -> dict[str, Any] | None:
    """Train (or resume) in `request.out`; the report, also in `result.json`. None in all but the first process.

    Raises:
        UsageError: options that do not go together.
    """
    from ofa_mcu.training.ranks import joined

    single = request.early_bird is not None or request.recipe.method == "plain"
    if request.subnet is not None and not single:
        raise UsageError("--subnet names one network: use it with --method plain or --early-bird")
    if request.late_ticket and request.early_bird is None:
        raise UsageError("--late-ticket is said of a ticket: use it with --early-bird")
    if request.start is not None and single:
        raise UsageError("--start names a supernet to go on from: it does not go with --method plain or --early-bird")
    if request.cluster is not None:
        if single:
            raise UsageError("--workers and --scheduler measure a supernet's subnets: one network has none")
        request.cluster.check()
    with joined(request.device) as ranks:
        found = _single(request, ranks) if single else _supernet(request, ranks)
    if not ranks.first:
        return None
    result = {"schema": schemas.TRAIN, "run": str(request.out), "task": request.task, **found}
    if not single:
        result |= _predictor(request, report)
    write_json(request.out / RESULT_FILE, result)
    return result


def _supernet(request: TrainRequest, ranks: Ranks) -> dict[str, Any]:
    from ofa_mcu.training.supernet_run import train_supernet

    path = train_supernet(
        request.task,
        request.recipe,
        request.out,
        request.data_dir,
        request.threads,
        ranks,
        request.space_file,
        request.start,
    )
    return {"kind": "supernet", "method": request.recipe.method, "file": str(path)}


def _predictor(request: TrainRequest, report: Callable[[int, int], None]) -> dict[str, Any]:
    from ofa_mcu.ledger import Tally, recorded
    from ofa_mcu.search.cluster_work import Origin, labelled
    from ofa_mcu.search.labelling import train_predictor
    from ofa_mcu.supernet.store import read_meta
    from ofa_mcu.training.supernet_run import SUPERNET_FILE

    path = request.out / SUPERNET_FILE
    data = task_named(request.task, request.data_dir).load(request.data_dir)
    with ExitStack() as stack:
        label = None
        watch = None
        if request.cluster is not None:
            client = stack.enter_context(request.cluster.client())
            watch = Tally()
            label = partial(labelled, client, Origin.of(request.task, path, request.data_dir, data), tally=watch)
        stack.enter_context(recorded(request.out, "predictor", watch))
        predictor = train_predictor(
            path, data, request.out / PREDICTOR_FILE, request.predictor_subnets, request.recipe.seed, report, label
        )
    quality = predictor.quality
    return {
        "trained": read_meta(path)["trained"],
        "predictor": {
            "subnets": quality.subnets,
            "kendall": quality.kendall,
            "kendall_macs": quality.kendall_macs,
            "spearman": quality.spearman,
            "rmse_points": quality.rmse_points,
        },
    }


def _single(request: TrainRequest, ranks: Ranks) -> dict[str, Any]:
    from ofa_mcu.ledger import recorded
    from ofa_mcu.quantization.single import export_single
    from ofa_mcu.training.plain_run import PlainRun, train_plain, train_ticket

    run = PlainRun(request.task, request.subnet, request.data_dir, request.space_file)
    found: dict[str, Any] = {"kind": "plain", "subnet": str(run.subnet)}
    if request.early_bird is None:
        train_plain(run, request.recipe, request.out, request.threads, ranks)
    else:
        ticket = train_ticket(
            run, request.recipe, request.out, request.threads, request.early_bird, request.late_ticket, ranks
        )
        found |= {"kind": "early-bird", "ticket": ticket}
    if ranks.first:
        with recorded(request.out, "quantize"):
            found |= export_single(request.out, run.data)
    return found
