"""Int8 models of kinds that are not among the models at hand, with random weights: good for speed and exactness.

`models()` gives their .tflite files by name, the same bytes every time. `python -m benchmarks.zoo FOLDER` writes them.
"""

from __future__ import annotations

from collections.abc import Collection

from benchmarks.zoo.networks import NETWORKS
from ofa_mcu.graph.tflite_writer import write_tflite

__all__ = ["NETWORKS", "models"]


def models(names: Collection[str] = ()) -> dict[str, bytes]:
    """The files of the networks of these names, all of them by default."""
    return {name: write_tflite(build()) for name, build in NETWORKS.items() if not names or name in names}
