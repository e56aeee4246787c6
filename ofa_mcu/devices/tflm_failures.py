"""What a firmware with TFLite Micro says when it cannot run its model, as one sentence."""

from __future__ import annotations

__all__ = ["tflm_failure"]

_SENTENCES = {
    1: "TFLite Micro does not read files of schema version {detail}; export the model again",
    2: "TFLite Micro refused the registration of operator {detail}; build again with the library that will be linked",
    3: "TFLite Micro could not set the model up in an arena of {detail} bytes, which is most often too small; "
    "build with a larger one (--arena BYTES)",
    4: "input {detail} is not what the generated header says; build again from the same .tflite file",
    5: "output {detail} is not what the generated header says; build again from the same .tflite file",
    6: "TFLite Micro failed during an inference; check that the library knows all operators of the model for int8",
}
"""By number, in the order of `ofa_mcu.codegen.tflm.FAILURES`."""

_DETAIL_BITS = 24


def tflm_failure(status: str) -> str:
    """The sentence for `0 err tflm <status>`: the failure's number in the top byte of 32 bits, a detail below it."""
    try:
        number, detail = divmod(int(status, 16), 1 << _DETAIL_BITS)
    except ValueError:
        number, detail = 0, 0
    sentence = _SENTENCES.get(number, "TFLite Micro failed with status {status}; flash the board again")
    return sentence.format(detail=detail, status=status) + "."
