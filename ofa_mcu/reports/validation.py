"""A validation as the JSON object of `ofa-mcu validate`."""

from __future__ import annotations

from typing import Any

from ofa_mcu import schemas
from ofa_mcu.devices.validation import Validation

__all__ = ["validation_json"]


def validation_json(result: Validation, board: str | None) -> dict[str, Any]:
    """What `validate --json` prints."""
    witnesses = []
    for witness in result.witnesses:
        first, path = result.first_difference(witness.name), result.reproducers.get(witness.name)
        witnesses.append(
            {
                "name": witness.name,
                "judges": witness.judges,
                "skipped": witness.skipped,
                "bytes_compared": result.bytes_compared(witness.name),
                "differing_bytes": result.differing_bytes(witness.name),
                "first_layer": None if first is None else first.layer,
                "reproducer": None if path is None else str(path),
            }
        )
    return {
        "schema": schemas.VALIDATE,
        "model": str(result.model.path),
        "model_crc32": result.model.crc32,
        "board": board,
        "inputs": result.inputs,
        "seed": result.seed,
        "witnesses": witnesses,
        "tensors": [
            {
                "name": check.name,
                "layer": check.layer,
                "shape": list(check.shape),
                "bytes": check.bytes,
                "crc32": f"{check.crc32:08x}",
                "differing": dict(check.differing),
            }
            for check in result.tensors
        ],
        "eliminated": [
            {"name": gone.name, "by": gone.by, "crc32": f"{gone.crc32:08x}", "differing": dict(gone.differing)}
            for gone in result.eliminated
        ],
    }
