"""Rewrites of an int8 graph that leave every surviving tensor as it was, byte for byte.

Each module holds one pass: a function from graph to graph that changes nothing where it does not apply. `editing` has
what they share.
"""

from ofa_mcu.graph.passes.borders import fold_borders
from ofa_mcu.graph.passes.channels import remove_dead_channels
from ofa_mcu.graph.passes.folding import fold_constants
from ofa_mcu.graph.passes.padding import fold_padding
from ofa_mcu.graph.passes.relu import fuse_relu
from ofa_mcu.graph.passes.reshapes import Aliases, alias_reshapes

__all__ = [
    "Aliases",
    "alias_reshapes",
    "fold_borders",
    "fold_constants",
    "fold_padding",
    "fuse_relu",
    "remove_dead_channels",
]
