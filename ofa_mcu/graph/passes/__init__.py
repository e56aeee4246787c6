"""Rewrites of an int8 graph that leave every surviving tensor as it was, byte for byte.

Each module holds one pass: a function from graph to graph, or to a `Rewrite` where tensors go on in another order, with
fewer channels or under another name. It changes nothing where it does not apply. `editing` and `shaping` have what they
share; `graph.pipeline` runs them all.
"""

from ofa_mcu.graph.passes.adds import AddFusion, fuse_add, fuse_adds
from ofa_mcu.graph.passes.borders import fold_borders
from ofa_mcu.graph.passes.canonical import convolve_one_channel, convolve_rows, flatten_whole_windows
from ofa_mcu.graph.passes.channels import LiveChannels, remove_dead_channels
from ofa_mcu.graph.passes.cropping import crop_kernels
from ofa_mcu.graph.passes.folding import fold_constants
from ofa_mcu.graph.passes.identities import reshape_identities
from ofa_mcu.graph.passes.padding import fold_padding
from ofa_mcu.graph.passes.relu import fuse_relu
from ofa_mcu.graph.passes.reshapes import Aliases, alias_reshapes, remove_reshapes
from ofa_mcu.graph.passes.transposes import sink_transposes
from ofa_mcu.graph.passes.unread import drop_unread
from ofa_mcu.graph.passes.views import Rewrite, View

__all__ = [
    "AddFusion",
    "Aliases",
    "LiveChannels",
    "Rewrite",
    "View",
    "alias_reshapes",
    "convolve_one_channel",
    "convolve_rows",
    "crop_kernels",
    "drop_unread",
    "flatten_whole_windows",
    "fold_borders",
    "fold_constants",
    "fold_padding",
    "fuse_add",
    "fuse_adds",
    "fuse_relu",
    "remove_dead_channels",
    "remove_reshapes",
    "reshape_identities",
    "sink_transposes",
]
