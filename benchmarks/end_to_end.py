"""Search, build and run for every board with a twin: promise against linked image, accuracy fp32, int8, on the device.

    python benchmarks/end_to_end.py [--boards a,b] [--images 200]

Prints a table and updates the rows of benchmarks/results/end_to_end.json. Runs go into a temporary folder.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

from ofa_mcu.devices.trial import try_run
from ofa_mcu.files import write_json
from ofa_mcu.profiles import all_profiles, load_profile
from ofa_mcu.runs import Run
from ofa_mcu.search.budget import budget_for
from ofa_mcu.search.recommend import Request, Source, recommend

RESULTS = Path(__file__).parent / "results" / "end_to_end.json"
LIMITS = {"rp2040": 4_000_000}
"""Boards searched with a bound on instructions, so that the slowest cores get a network for them."""


def row(board: str, images: int, folder: Path, source: Source) -> dict[str, Any]:
    """Everything measured for one board; networks that were measured for another one are in the source."""
    profile = load_profile(board)
    limit = LIMITS.get(board)
    report = recommend(Request(budget_for(profile, max_instructions=limit)), folder / board, source=source)
    run = Run(folder / board)
    trial = try_run(run, profile, None, images, None)
    pick, build, bench = report["pick"], run.read("build.json"), trial.to_json()
    return {
        "board": board,
        "core": profile.core,
        "sram_budget": profile.sram_bytes,
        "flash_budget": profile.flash_bytes,
        "instruction_budget": limit,
        "seconds": report["seconds"],
        **{key: pick[key] for key in ("subnet", "macs", "accuracy_fp32", "accuracy_int8")},
        **{key: build[key] for key in ("sram_promised", "sram_linked", "flash_promised", "flash_linked")},
        "instructions_promised": build["instructions_promised"],
        **{key: bench[key] for key in ("instructions", "accuracy", "images", "bytes_compared", "differing_bytes")},
        **{key: bench[key] for key in ("stack_used", "stack_reserved")},
    }


def merged(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The stored rows with those measured now in their place, by board."""
    stored = json.loads(RESULTS.read_text())["rows"] if RESULTS.exists() else []
    by_board = {r["board"]: r for r in (*stored, *rows)}
    return [by_board[board] for board in sorted(by_board)]


def main() -> None:
    """Print and store the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--boards", help="comma-separated ids (default: all with a twin)")
    parser.add_argument("--images", type=int, default=200)
    options = parser.parse_args()
    boards = options.boards.split(",") if options.boards else [p.id for p in all_profiles() if p.emulator]
    rows, source = [], Source("fashion-mnist")
    with tempfile.TemporaryDirectory() as folder:
        for board in boards:
            rows.append(row(board, options.images, Path(folder), source))
            r = rows[-1]
            print(
                f"{board:<12} {r['subnet']:<42} "
                f"fp32 {100 * r['accuracy_fp32']:.2f} int8 {100 * r['accuracy_int8']:.2f} "
                f"device {100 * r['accuracy']:.2f} SRAM {r['sram_promised']}/{r['sram_linked']} "
                f"flash {r['flash_promised']}/{r['flash_linked']} "
                f"instructions {r['instructions_promised']}/{r['instructions']} differing {r['differing_bytes']}",
                flush=True,
            )
    write_json(RESULTS, {"rows": merged(rows)})


if __name__ == "__main__":
    main()
