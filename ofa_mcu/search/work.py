"""What takes long in a search: subnets evolved, planned, scored, compiled, tested."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from ofa_mcu.graph.tflite_writer import write_tflite
from ofa_mcu.graph.verify import probe_inputs, verify
from ofa_mcu.ledger import Stopwatch
from ofa_mcu.planning.core_model import core_of
from ofa_mcu.planning.runtime import Runtime, Settled, settled
from ofa_mcu.profiles.profile import BoardProfile
from ofa_mcu.search.archive import Archive
from ofa_mcu.search.budget import Budget
from ofa_mcu.search.candidates import Candidate, CandidatePool
from ofa_mcu.search.nsga import evolved
from ofa_mcu.search.predictor import Predictor
from ofa_mcu.space.subnet import Subnet

if TYPE_CHECKING:
    from ofa_mcu.quantization.evaluate import Evaluator, Specialised

__all__ = ["Tested", "Work"]

_VERIFIED_IMAGES = 4


@dataclass(frozen=True)
class Tested:
    """A pick's file, equal to TFLite Micro, and its accuracies (0..1) on test examples and on those that are apart."""

    model: bytes
    fp32: float
    int8: float
    apart: Mapping[str, float]


class Work:
    """Done in this process. What several boards ask for is done once and remembered.

    `evaluator` gives the one of the predictor's supernet; it is asked when it is first needed.
    """

    def __init__(self, predictor: Predictor, evaluator: Callable[[], Evaluator]) -> None:
        self.predictor = predictor
        self._load = evaluator
        self._archives: dict[tuple[str, Runtime, int], Archive] = {}
        self._tested: dict[Specialised, Tested] = {}

    @cached_property
    def evaluator(self) -> Evaluator:
        """Of the supernet's subnets."""
        return self._load()

    def stopwatch(self) -> Stopwatch:
        """Of what is asked for from now on, for a ledger."""
        return Stopwatch()

    def archive(self, profile: BoardProfile, runtime: Runtime, seed: int, show: Callable[[str], None]) -> Archive:
        """Subnets for all budgets there may be on the board's core."""
        core = core_of(profile)
        key = core, runtime, seed
        if key not in self._archives:
            self._archives[key] = evolved(
                Archive(self.predictor, profile, runtime=runtime), None, seed, lambda text: show(f"{core}: {text}")
            )
        return self._archives[key]

    def planned(self, budget: Budget, subnets: Sequence[Subnet]) -> list[Candidate]:
        """The subnets as the board's planner sees them."""
        return list(map(CandidatePool(self.predictor, budget), subnets))

    def measured(self, subnets: Sequence[Subnet], budget: Budget) -> list[tuple[Specialised, float, Settled]]:
        """Each subnet specialised, its int8 accuracy (0..1) on validation examples, what it costs with its weights."""
        costs: dict[Specialised, Settled] = {}

        def settle(net: Specialised) -> None:
            costs[net] = settled(net.graph, budget.profile, budget.runtime, budget.max_sram)

        scored = self.evaluator.specialise_and_score(subnets, "validation", settle)
        return [(net, score, costs[net]) for net, score in scored]

    def tested(self, pick: Specialised, seed: int) -> Tested:
        """The pick's file and accuracies.

        Raises:
            MismatchError: the file differs from TFLite Micro in any byte.
        """
        if pick not in self._tested:
            self._tested[pick] = test(self.evaluator, pick, seed)
        return self._tested[pick]


def test(evaluator: Evaluator, pick: Specialised, seed: int) -> Tested:
    """`Work.tested`, not remembered."""
    model = write_tflite(pick.graph)
    probes = probe_inputs(pick.graph, seed=seed)
    name = pick.graph.structure.inputs[0]
    images = evaluator.codes("test", pick.subnet.resolution)[:_VERIFIED_IMAGES]
    verify(pick.graph, model, {name: np.concatenate([probes[name], images])})
    return Tested(
        model,
        evaluator.float_accuracy(pick.network, "test"),
        evaluator.int8_accuracy(pick.graph, "test"),
        {part: evaluator.int8_accuracy(pick.graph, part) for part in evaluator.data.apart},
    )
