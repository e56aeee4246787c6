"""A supernet in one file: half-precision weights and what they belong to, readable without pickle."""

from __future__ import annotations

import io
import json
import tokenize
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ofa_mcu.errors import OfaMcuError
from ofa_mcu.files import write_bytes
from ofa_mcu.space.space import SearchSpace
from ofa_mcu.supernet.network import Supernet

__all__ = ["load_supernet", "read_archive", "read_meta", "save_supernet"]

_FORMAT = 1
_DAMAGE = (
    OSError,
    ValueError,
    EOFError,
    RuntimeError,
    SyntaxError,
    tokenize.TokenError,
    zlib.error,
    zipfile.BadZipFile,
)
_META = "meta.json"


def save_supernet(path: Path, supernet: Supernet, meta: dict[str, Any]) -> None:
    """Write weights as float16 and `meta` (JSON-ready; task, recipe, results) atomically; same input, same bytes."""
    arrays = {name: value.detach().cpu().numpy().astype(np.float16) for name, value in supernet.state_dict().items()}
    header = {"format": _FORMAT, "space": supernet.space.to_json(), **meta}
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer, allow_pickle=False, **{_META: np.frombuffer(json.dumps(header).encode(), np.uint8)}, **arrays
    )
    write_bytes(path, buffer.getvalue())


def read_archive(
    path: Path, kind: str = "supernet file", command: str = "ofa-mcu train --out FOLDER"
) -> dict[str, Any]:
    """Arrays of a file written by `np.savez`, by name; `kind` and `command` say what it should be and who makes it.

    Raises:
        OfaMcuError: there is no such file, or it is damaged.
    """
    try:
        # not by the path: what is no zip file would come back as something else than an archive
        with path.open("rb") as file, zipfile.ZipFile(file) as archive:
            return {
                name.removesuffix(".npy"): np.lib.format.read_array(archive.open(name), allow_pickle=False)
                for name in archive.namelist()
            }
    except FileNotFoundError as error:
        raise OfaMcuError(f"there is no {kind} {path}; train one with: {command}") from error
    except _DAMAGE as error:
        raise OfaMcuError(f"{path} is no {kind}, or is damaged ({error}); train or copy it again") from error


def read_meta(path: Path) -> dict[str, Any]:
    """The header of a supernet file: format, space, task and what else was stored."""
    return _header(path, read_archive(path))


def _header(path: Path, arrays: dict[str, Any]) -> dict[str, Any]:
    if _META not in arrays:
        raise OfaMcuError(f"{path} is no supernet file; train one with: ofa-mcu train --out FOLDER")
    try:
        header: dict[str, Any] = json.loads(arrays[_META].tobytes())
        version = header["format"]
    except (ValueError, KeyError, TypeError) as error:
        raise OfaMcuError(f"{path} has a damaged header ({error}); train or copy it again") from error
    if version != _FORMAT:
        raise OfaMcuError(f"{path} has format {version}, this version reads {_FORMAT}; train it again")
    return header


def load_supernet(path: Path) -> tuple[Supernet, dict[str, Any]]:
    """The supernet in `path` and its header.

    Raises:
        OfaMcuError: there is no such file, or it is not a supernet of this format.
    """
    arrays = read_archive(path)
    header = _header(path, arrays)
    try:
        supernet = Supernet(SearchSpace.from_json(header["space"]))
        state = {name: torch.from_numpy(arrays[name].astype(np.float32)) for name in supernet.state_dict()}
        supernet.load_state_dict(state)
    except (KeyError, TypeError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise OfaMcuError(
            f"{path} does not hold the weights of its space ({reason}); train or copy it again"
        ) from error
    return supernet, header
