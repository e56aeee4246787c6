"""From a planned int8 graph to C: packed weights, one function per layer, and the functions these share.

`kernels` holds what writes a layer for each kernel, `emit` puts the files together.
"""

from ofa_mcu.codegen.emit import emit_c

__all__ = ["emit_c"]
