"""A plain network in one file: float32 weights and statistics, and what they belong to, readable without pickle."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ofa_mcu.errors import OfaMcuError
from ofa_mcu.files import write_bytes
from ofa_mcu.space.lowering import shape_graph
from ofa_mcu.space.narrow import channels_of, narrowed
from ofa_mcu.space.space import SearchSpace
from ofa_mcu.space.subnet import Subnet
from ofa_mcu.supernet.network import PlainNetwork
from ofa_mcu.supernet.store import read_archive

__all__ = ["NETWORK_FILE", "load_network", "save_network"]

NETWORK_FILE = "network.npz"
_FORMAT = 1
_META = "network.json"


def save_network(path: Path, network: PlainNetwork, space: SearchSpace, subnet: Subnet, meta: dict[str, Any]) -> None:
    """Write weights, statistics and `meta` (JSON-ready) atomically; same input, same bytes.

    `subnet` names the structure; channels of `network` may be fewer than its.
    """
    arrays = {name: value.detach().cpu().numpy() for name, value in network.state_dict().items()}
    channels = {n: c for n, c in channels_of(network.graph).items() if c != channels_of(shape_graph(space, subnet))[n]}
    header = {"format": _FORMAT, "space": space.to_json(), "subnet": str(subnet), "channels": channels, **meta}
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer, allow_pickle=False, **{_META: np.frombuffer(json.dumps(header).encode(), np.uint8)}, **arrays
    )
    write_bytes(path, buffer.getvalue())


def load_network(path: Path) -> tuple[PlainNetwork, dict[str, Any]]:
    """The network in `path` and its header (space, subnet, channels, and what else was stored).

    Raises:
        OfaMcuError: there is no such file, or it holds no network of this format.
    """
    arrays = read_archive(path, "network file", "ofa-mcu train --method plain --out FOLDER")
    try:
        header: dict[str, Any] = json.loads(arrays[_META].tobytes())
        if header["format"] != _FORMAT:
            raise OfaMcuError(f"{path} has format {header['format']}, this version reads {_FORMAT}; train it again")
        graph = shape_graph(SearchSpace.from_json(header["space"]), Subnet.parse(header["subnet"]))
        network = PlainNetwork(narrowed(graph, header["channels"]))
        network.load_state_dict({name: torch.from_numpy(arrays[name]) for name in network.state_dict()})
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise OfaMcuError(f"{path} is no network file, or is damaged ({reason}); train or copy it again") from error
    return network, header
