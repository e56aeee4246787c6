"""Whether anything can fit, asked before anything slow is loaded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from ofa_mcu.errors import InfeasibleError
from ofa_mcu.search.budget import Violation
from ofa_mcu.search.candidates import Candidate, CandidatePool
from ofa_mcu.search.predictor import as_share

__all__ = ["candidate_json", "check_feasible", "nothing_fits"]


_OF = {"instructions": " instructions", "ms": " ms", "mj": " mJ"}


def check_feasible(pool: CandidatePool) -> None:
    """Raise InfeasibleError, with the nearest subnet, where nothing can fit.

    Every cost grows with every choice, so where the smallest subnet breaks a bound all do, and it is the nearest.
    """
    nearest = pool(pool.space.smallest)
    if not nearest.fits:
        raise nothing_fits(nearest, nearest.violations)


def nothing_fits(nearest: Candidate, violations: Sequence[Violation]) -> InfeasibleError:
    """What to raise where even `nearest` breaks these bounds, the worst first."""
    worst = violations[0]
    smallest = "the smallest subnet" if worst in nearest.violations else "with its weights, the last subnet left,"
    needs = " and ".join(
        f"{_quantity(each, each.needed)}{_OF.get(each.constraint, f' of {each.constraint}')} where "
        f"{_quantity(each, each.budget)} are "
        f"{'allowed' if each.region is None else f'there in {each.region}'}"
        for each in violations
    )
    return InfeasibleError(
        f"nothing fits: {smallest} {nearest.subnet} needs {needs}; allow more or take a larger board",
        {
            "code": "infeasible",
            "constraint": worst.constraint,
            "region": worst.region,
            "needed": worst.needed,
            "budget": worst.budget,
            "violations": [asdict(each) for each in violations],
            "nearest": candidate_json(nearest),
        },
    )


def _quantity(violation: Violation, value: float) -> str:
    """Bytes and instructions to the last one, estimates to four digits."""
    if violation.constraint in ("ms", "mj"):
        return f"{value:.4g}"
    return f"{value:.0f}" if violation.constraint == "instructions" else f"{value:.0f} B"


def candidate_json(candidate: Candidate) -> dict[str, Any]:
    """A candidate as the reports hold it."""
    return {
        "subnet": str(candidate.subnet),
        "macs": candidate.cost.macs,
        "accuracy_predicted": as_share(candidate.accuracy),
        "sram_bytes": candidate.cost.sram_bytes,
        "flash_bytes": candidate.cost.flash_bytes,
        "instructions": round(candidate.cost.instructions) if candidate.counted else None,
    }
