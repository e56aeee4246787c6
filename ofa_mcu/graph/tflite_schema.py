"""The part of the TensorFlow Lite file format that int8 graphs use: field slots of its tables, names of operators.

Numbers are those of the published flatbuffer schema, version 3.
"""

from __future__ import annotations

from enum import IntEnum

__all__ = [
    "FILE_IDENTIFIER",
    "OPERATOR_NAMES",
    "OPERATOR_NAMES_METADATA",
    "SCHEMA_VERSION",
    "BufferSlot",
    "MetadataSlot",
    "ModelSlot",
    "OperatorCodeSlot",
    "OperatorSlot",
    "QuantizationSlot",
    "SubgraphSlot",
    "TensorSlot",
    "TensorType",
    "type_name",
]

FILE_IDENTIFIER = b"TFL3"
SCHEMA_VERSION = 3
OPERATOR_NAMES_METADATA = "ofa_mcu.operator_names"
"""Metadata entry that keeps operator names, which the format itself has no room for: a JSON list."""

_NAMES = """
ADD AVERAGE_POOL_2D CONCATENATION CONV_2D DEPTHWISE_CONV_2D DEPTH_TO_SPACE DEQUANTIZE EMBEDDING_LOOKUP FLOOR
FULLY_CONNECTED HASHTABLE_LOOKUP L2_NORMALIZATION L2_POOL_2D LOCAL_RESPONSE_NORMALIZATION LOGISTIC LSH_PROJECTION
LSTM MAX_POOL_2D MUL RELU RELU_N1_TO_1 RELU6 RESHAPE RESIZE_BILINEAR RNN SOFTMAX SPACE_TO_DEPTH SVDF TANH
CONCAT_EMBEDDINGS SKIP_GRAM CALL CUSTOM EMBEDDING_LOOKUP_SPARSE PAD UNIDIRECTIONAL_SEQUENCE_RNN GATHER
BATCH_TO_SPACE_ND SPACE_TO_BATCH_ND TRANSPOSE MEAN SUB DIV SQUEEZE UNIDIRECTIONAL_SEQUENCE_LSTM STRIDED_SLICE
BIDIRECTIONAL_SEQUENCE_RNN EXP TOPK_V2 SPLIT LOG_SOFTMAX DELEGATE BIDIRECTIONAL_SEQUENCE_LSTM CAST PRELU MAXIMUM
ARG_MAX MINIMUM LESS NEG PADV2 GREATER GREATER_EQUAL LESS_EQUAL SELECT SLICE SIN TRANSPOSE_CONV SPARSE_TO_DENSE TILE
EXPAND_DIMS EQUAL NOT_EQUAL LOG SUM SQRT RSQRT SHAPE POW ARG_MIN FAKE_QUANT REDUCE_PROD REDUCE_MAX PACK LOGICAL_OR
ONE_HOT LOGICAL_AND LOGICAL_NOT UNPACK REDUCE_MIN FLOOR_DIV REDUCE_ANY SQUARE ZEROS_LIKE FILL FLOOR_MOD RANGE
RESIZE_NEAREST_NEIGHBOR LEAKY_RELU SQUARED_DIFFERENCE MIRROR_PAD ABS SPLIT_V UNIQUE CEIL REVERSE_V2 ADD_N GATHER_ND
COS WHERE RANK ELU REVERSE_SEQUENCE MATRIX_DIAG QUANTIZE MATRIX_SET_DIAG ROUND HARD_SWISH IF WHILE
NON_MAX_SUPPRESSION_V4 NON_MAX_SUPPRESSION_V5 SCATTER_ND SELECT_V2 DENSIFY SEGMENT_SUM BATCH_MATMUL
PLACEHOLDER_FOR_GREATER_OP_CODES CUMSUM CALL_ONCE BROADCAST_TO RFFT2D CONV_3D IMAG REAL COMPLEX_ABS HASHTABLE
HASHTABLE_FIND HASHTABLE_IMPORT HASHTABLE_SIZE REDUCE_ALL CONV_3D_TRANSPOSE VAR_HANDLE READ_VARIABLE ASSIGN_VARIABLE
BROADCAST_ARGS RANDOM_STANDARD_NORMAL BUCKETIZE RANDOM_UNIFORM MULTINOMIAL GELU DYNAMIC_UPDATE_SLICE RELU_0_TO_1
UNSORTED_SEGMENT_PROD UNSORTED_SEGMENT_MAX UNSORTED_SEGMENT_SUM ATAN2 UNSORTED_SEGMENT_MIN SIGN BITCAST BITWISE_XOR
RIGHT_SHIFT
"""
OPERATOR_NAMES = tuple(_NAMES.split())
"""Names of the builtin operators by code, as far as converters emit them; later codes have no name here."""


class TensorType(IntEnum):
    """Element types."""

    FLOAT32 = 0
    FLOAT16 = 1
    INT32 = 2
    UINT8 = 3
    INT64 = 4
    INT16 = 7
    INT8 = 9


class ModelSlot(IntEnum):
    """Fields of Model."""

    VERSION = 0
    OPERATOR_CODES = 1
    SUBGRAPHS = 2
    DESCRIPTION = 3
    BUFFERS = 4
    METADATA = 6


class SubgraphSlot(IntEnum):
    """Fields of SubGraph."""

    TENSORS = 0
    INPUTS = 1
    OUTPUTS = 2
    OPERATORS = 3
    NAME = 4


class TensorSlot(IntEnum):
    """Fields of Tensor."""

    SHAPE = 0
    TYPE = 1
    BUFFER = 2
    NAME = 3
    QUANTIZATION = 4
    SPARSITY = 6


class QuantizationSlot(IntEnum):
    """Fields of QuantizationParameters."""

    SCALE = 2
    ZERO_POINT = 3
    DIMENSION = 6


class OperatorSlot(IntEnum):
    """Fields of Operator."""

    CODE_INDEX = 0
    INPUTS = 1
    OUTPUTS = 2
    OPTIONS_TYPE = 3
    OPTIONS = 4


class OperatorCodeSlot(IntEnum):
    """Fields of OperatorCode."""

    DEPRECATED_CODE = 0
    CUSTOM_CODE = 1
    VERSION = 2
    CODE = 3


class BufferSlot(IntEnum):
    """Fields of Buffer."""

    DATA = 0


class MetadataSlot(IntEnum):
    """Fields of Metadata."""

    NAME = 0
    BUFFER = 1


def type_name(code: int) -> str:
    """An element type for people: its name, or its code where it has none here."""
    return TensorType(code).name.lower() if code in list(TensorType) else f"of type {code}"
