"""Training one network from start to file: a subnet alone, or its early-bird ticket."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ofa_mcu.errors import UsageError
from ofa_mcu.files import write_json
from ofa_mcu.space.lowering import shape_graph
from ofa_mcu.space.presets import space_of
from ofa_mcu.space.space import SearchSpace
from ofa_mcu.space.subnet import Subnet
from ofa_mcu.supernet.network import PlainNetwork
from ofa_mcu.supernet.plain_store import NETWORK_FILE, save_network
from ofa_mcu.tasks.registry import task_named
from ofa_mcu.tasks.task import Dataset, Task
from ofa_mcu.training.calibrate import calibration_inputs, recalibrate
from ofa_mcu.training.curves import plot_curves
from ofa_mcu.training.learners import PlainLearner
from ofa_mcu.training.loop import fit, use_threads
from ofa_mcu.training.ranks import ALONE, Ranks
from ofa_mcu.training.recipe import Recipe
from ofa_mcu.training.ticket import TICKET_THRESHOLD, TicketLearner, slim

__all__ = ["TICKET_FILE", "PlainRun", "train_plain", "train_ticket"]

TICKET_FILE = "ticket.json"


class PlainRun:
    """What both ways to train one network need: task, data, space, structure."""

    def __init__(
        self, task_name: str, subnet: str | None, data_dir: Path | None, space_file: Path | None = None
    ) -> None:
        self.task: Task = task_named(task_name, data_dir)
        self.space: SearchSpace = space_of(self.task.name, self.task.shape, len(self.task.labels), space_file)
        self.subnet = Subnet.parse(subnet) if subnet else self.space.largest
        self.graph = shape_graph(self.space, self.subnet)
        self.data: Dataset = self.task.load(data_dir)
        self.sizes = (self.space.input_size(self.subnet.resolution),)

    def finish(self, network: PlainNetwork, folder: Path, meta: dict[str, Any]) -> Path:
        """Recalibrate, as for a subnet of a supernet, and write the network's file."""
        network = network.cpu()
        recalibrate(network, calibration_inputs(self.data.train, self.sizes[0]))
        path = folder / NETWORK_FILE
        header = {"task": self.task.name, "licence_of_data": self.task.licence, **meta}
        save_network(path, network, self.space, self.subnet, header)
        return path


def train_plain(run: PlainRun, recipe: Recipe, folder: Path, threads: int | None, ranks: Ranks = ALONE) -> Path:
    """Train (or resume) a subnet alone; the path of its file."""
    use_threads(threads)
    learner = PlainLearner(run.graph, recipe, ranks)
    last = fit(learner, run.task, run.data, run.sizes, recipe, folder, f"plain {run.subnet}", ranks)
    if ranks.first:
        run.finish(learner.module, folder, {"recipe": recipe.to_json(), "trained": last})
        plot_curves(folder, TICKET_THRESHOLD)
    return folder / NETWORK_FILE


def train_ticket(
    run: PlainRun,
    recipe: Recipe,
    folder: Path,
    threads: int | None,
    percentile: float,
    late: bool = False,
    ranks: Ranks = ALONE,
) -> dict[str, Any]:
    """Train (or resume) a subnet until its ticket can be drawn, slim it, and train what is left with the whole recipe.

    Args:
        run: task and subnet.
        recipe: of both parts.
        folder: gets `dense/`, `slim/`, `ticket.json` and the network's file.
        threads: of torch.
        percentile: share of the channels that go, in per cent.
        late: draw the ticket at the end of the recipe; the training that the early stop saves, for comparison.
        ranks: the processes.

    Returns:
        What was saved and what it cost, also in `ticket.json`.
    """
    if not 0 < percentile < 100:
        raise UsageError(f"--early-bird {percentile:g} is no share of the channels in per cent; 30, 50 or 70 are usual")
    use_threads(threads)
    dense = TicketLearner(run.graph, recipe, percentile, late, ranks)
    name = f"{'late' if late else 'early'} ticket, {percentile:g} % of {run.subnet}"
    first = fit(dense, run.task, run.data, run.sizes, recipe, folder / "dense", f"dense {name}", ranks)
    small = slim(dense.module.cpu(), dense.masks())
    learner = PlainLearner(small.graph, recipe, ranks, small)
    last = fit(learner, run.task, run.data, run.sizes, recipe, folder / "slim", f"slim {name}", ranks)
    epochs = first["step"] * recipe.epochs / first["steps"]
    saved = recipe.epochs - epochs
    summary = {
        "subnet": str(run.subnet),
        "percentile": percentile,
        "late": late,
        "settled_at_step": dense.settled_at,
        "epochs_dense": round(epochs, 2),
        "epochs_saved": round(saved, 2),
        "kwh_dense": first["kwh"],
        "kwh_slim": last["kwh"],
        "kwh_saved_estimated": round(first["kwh"] / epochs * saved, 6),
        "tera_macs": round(first["tera_macs"] + last["tera_macs"], 6),
        "macs_before": run.graph.macs,
        "macs": small.graph.macs,
        "parameters_before": run.graph.parameters,
        "parameters": small.graph.parameters,
    }
    if ranks.first:
        run.finish(learner.module, folder, {"recipe": recipe.to_json(), "trained": last, "ticket": summary})
        write_json(folder / TICKET_FILE, summary)
        plot_curves(folder / "dense", TICKET_THRESHOLD)
        plot_curves(folder / "slim", TICKET_THRESHOLD)
    return summary
