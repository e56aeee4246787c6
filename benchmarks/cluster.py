"""One process against several: a fleet of all boards, and labels of subnets for a predictor; a table.

    python benchmarks/cluster.py --workers 2 --labels 60

The answers are compared, too.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ofa_mcu.cluster import Cluster
from ofa_mcu.ledger import cpu_seconds
from ofa_mcu.profiles import all_profiles
from ofa_mcu.search.cluster_work import Origin, labelled
from ofa_mcu.search.fleet import FleetRequest, fleet
from ofa_mcu.search.recommend import Source


def timed(name: str, function: Callable[[], Any]) -> Any:
    """What the function gives; prints wall and processor seconds, children that ended included."""
    began, cpu = time.monotonic(), cpu_seconds()
    value = function()
    print(f"{name:24} {time.monotonic() - began:8.1f} s {cpu_seconds() - cpu:8.1f} s of processors", flush=True)
    return value


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", default="fashion-mnist")
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--labels", type=int, default=60)
    options = parser.parse_args()
    request = FleetRequest(dict.fromkeys(all_profiles()), options.task, data_dir=options.data_dir)
    source = Source(options.task, None, options.data_dir)
    subnets = source.predictor.space.sample_balanced(np.random.default_rng(0), options.labels)
    data = source.evaluator.data

    def fleet_together(out: Path) -> dict[str, Any]:
        with Cluster(options.workers).client() as client:
            return fleet(request, out, client=client)

    def labels_together() -> dict[Any, float]:
        with Cluster(options.workers).client() as client:
            return dict(labelled(client, Origin.of(options.task, None, options.data_dir, data), subnets))

    def labels_alone() -> dict[Any, float]:
        networks = ((subnet, source.evaluator.float_network(subnet)) for subnet in subnets)
        return {subnet: source.evaluator.float_accuracy(network, "validation") for subnet, network in networks}

    several = f"{options.workers} workers"
    with tempfile.TemporaryDirectory() as scratch:
        alone = timed("fleet, one process", lambda: fleet(request, Path(scratch) / "alone"))
        together = timed(f"fleet, {several}", lambda: fleet_together(Path(scratch) / "together"))
    if [row["pick"] for row in alone["boards"]] != [row["pick"] for row in together["boards"]]:
        raise SystemExit("the fleets differ")
    if timed("labels, one process", labels_alone) != timed(f"labels, {several}", labels_together):
        raise SystemExit("the labels differ")


if __name__ == "__main__":
    main()
