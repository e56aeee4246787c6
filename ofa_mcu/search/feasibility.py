"""Whether anything can fit, asked before anything slow is loaded."""

from __future__ import annotations

from typing import Any

from ofa_mcu.errors import InfeasibleError
from ofa_mcu.search.budget import Violation
from ofa_mcu.search.candidates import Candidate, CandidatePool

__all__ = ["candidate_json", "check_feasible", "nothing_fits"]


def check_feasible(pool: CandidatePool) -> None:
    """Raise InfeasibleError, with the nearest subnet, where nothing can fit.

    Every cost grows with every choice, so where the smallest subnet breaks a bound all do, and it is the nearest.
    """
    nearest = pool(pool.space.smallest)
    if not nearest.fits:
        raise nothing_fits(nearest, nearest.violations[0])


def nothing_fits(nearest: Candidate, worst: Violation) -> InfeasibleError:
    """What to raise where even `nearest` breaks a bound, `worst` before all."""
    smallest = "the smallest subnet" if worst in nearest.violations else "with its weights, the last subnet left,"
    return InfeasibleError(
        f"nothing fits: {smallest} {nearest.subnet} needs {_quantity(worst, worst.needed)} of "
        f"{worst.constraint} and {_quantity(worst, worst.budget)} are allowed; allow more or take a larger board",
        {
            "code": "infeasible",
            "constraint": worst.constraint,
            "needed": worst.needed,
            "budget": worst.budget,
            "nearest": candidate_json(nearest),
        },
    )


def _quantity(violation: Violation, value: float) -> str:
    """Bytes and instructions to the last one, estimates to four digits."""
    unit = {"sram": " B", "flash": " B", "ms": " ms", "mj": " mJ"}.get(violation.constraint, "")
    return f"{value:.4g}{unit}" if violation.constraint in ("ms", "mj") else f"{value:.0f}{unit}"


def candidate_json(candidate: Candidate) -> dict[str, Any]:
    """A candidate as the reports hold it."""
    return {
        "subnet": str(candidate.subnet),
        "macs": candidate.cost.macs,
        "accuracy_predicted": round(candidate.accuracy, 5),
        "sram_bytes": candidate.cost.sram_bytes,
        "flash_bytes": candidate.cost.flash_bytes,
        "instructions": round(candidate.cost.instructions),
    }
