"""From a planned int8 graph to C: packed weights, one descriptor and one function per layer.

`layout` answers from shapes alone (kernel of a layer, bytes of constants), `emit` writes the files.
"""

from ofa_mcu.codegen.emit import emit_c
from ofa_mcu.planning.layout import kernel_of, layer_bytes, weight_bytes

__all__ = ["emit_c", "kernel_of", "layer_bytes", "weight_bytes"]
