"""A source tree laid out like TFLite Micro's that only looks like it: the API that generated code calls, nothing more.

It lets the whole road to the emulated twin run where there are no real sources: tree, library, flags, link, protocol,
alarm. Its output is its input, repeated; it wants NEEDED bytes of arena. It proves nothing about inference.
"""

from __future__ import annotations

from pathlib import Path

from ofa_mcu.codegen.tflm_api import ADDERS, INTERPRETER, RESOLVER
from ofa_mcu.graph.ir import Int8Graph

NEEDED = 1024

_INTERPRETER = """\
#pragma once
#include <cstddef>
#include <cstdint>
#include <tensorflow/lite/schema/schema_generated.h>
enum TfLiteStatus { kTfLiteOk, kTfLiteError };
enum TfLiteType { kTfLiteFloat32 = 1, kTfLiteInt8 = 9 };
union TfLitePtrUnion { char *raw; };
struct TfLiteTensor { TfLitePtrUnion data; size_t bytes; TfLiteType type; };
namespace tflite {
namespace micro {
class MicroOpResolver {
 public:
  virtual ~MicroOpResolver() {}
  virtual unsigned count() const = 0;
};
class MicroInterpreter {
 public:
  MicroInterpreter(const Model *model, const MicroOpResolver &resolver, uint8_t *arena, size_t size);
  TfLiteStatus AllocateTensors();
  TfLiteStatus Invoke();
  TfLiteTensor *input(size_t index) { return index == 0 ? &input_ : nullptr; }
  TfLiteTensor *output(size_t index) { return index == 0 ? &output_ : nullptr; }
  size_t inputs_size() const { return 1; }
  size_t outputs_size() const { return 1; }
  size_t arena_used_bytes() const { return used_; }
 private:
  const MicroOpResolver &resolver_;
  uint8_t *arena_;
  size_t size_, used_ = 0;
  TfLiteTensor input_, output_;
};
}  // namespace micro
}  // namespace tflite
"""

_SOURCE = """\
#include "tensorflow/lite/micro/micro_interpreter.h"
#include <cmath>
#include <cstdarg>
#include <cstdlib>
#include <cstring>
extern "C" void DebugLog(const char *format, va_list arguments);
#ifdef CMSIS_NN
#include "Include/arm_nnfunctions.h"
#define COPY arm_copy
#else
#define COPY std::memcpy
#endif
namespace tflite {
const Model *GetModel(const void *data) { return static_cast<const Model *>(data); }
namespace micro {
MicroInterpreter::MicroInterpreter(const Model *, const MicroOpResolver &resolver, uint8_t *arena, size_t size)
    : resolver_(resolver), arena_(arena), size_(size) {
  int unused_variable_that_a_warning_is_for;
}
TfLiteStatus MicroInterpreter::AllocateTensors() {
  if (size_ < %(needed)d) { return kTfLiteError; }
  used_ = %(needed)d;
  input_ = {{reinterpret_cast<char *>(arena_)}, %(input)d, kTfLiteInt8};
  output_ = {{reinterpret_cast<char *>(arena_) + %(input)d}, %(output)d, kTfLiteInt8};
  return resolver_.count() > 0 && std::exp(static_cast<double>(size_)) > 1.0 ? kTfLiteOk : kTfLiteError;
}
TfLiteStatus MicroInterpreter::Invoke() {
  if (arena_ == nullptr) { std::abort(); }
  for (size_t i = 0; i < %(output)d; i++) { COPY(&output_.data.raw[i], &input_.data.raw[i %% %(input)d], 1); }
  return kTfLiteOk;
}
}  // namespace micro
}  // namespace tflite
"""

_SCHEMA = """\
#pragma once
#include <cstdint>
namespace tflite {
struct Model { uint32_t version() const { return 3; } };
const Model *GetModel(const void *data);
}
"""

_RESOLVER = """\
#pragma once
#include "tensorflow/lite/micro/kernels/conv.h"
#include "tensorflow/lite/micro/micro_interpreter.h"
namespace tflite {
namespace micro {
template <unsigned int tOpCount>
class MicroMutableOpResolver : public MicroOpResolver {
 public:
  unsigned count() const override { return count_; }
  TfLiteStatus AddConv2D(const TFLMRegistration &registration = Register_CONV_2D()) { return Add(); }
%(adders)s
 private:
  TfLiteStatus Add() { return count_++ < tOpCount ? kTfLiteOk : kTfLiteError; }
  unsigned count_ = 0;
};
}  // namespace micro
}  // namespace tflite
"""

_CONV = """\
#pragma once
namespace tflite {
namespace micro {
struct TFLMRegistration { int unused; };
inline TFLMRegistration Register_CONV_2D() { return {0}; }
inline TFLMRegistration Register_CONV_2D_INT8() { return {1}; }
}
}
"""


_NN_HEADER = """\
#pragma once
#ifdef __cplusplus
extern "C" {
#endif
void *arm_copy(void *to, const void *from, unsigned long bytes);
#ifdef __cplusplus
}
#endif
"""

_NN_SOURCE = """\
#include "arm_nnfunctions.h"
#include <string.h>
void *arm_copy(void *to, const void *from, unsigned long bytes) { return memcpy(to, from, bytes); }
"""


def imitated_tree(folder: Path, graph: Int8Graph, cmsis_nn: bool = False) -> Path:
    """The tree, for a graph of one input and one output; with sources laid out like CMSIS-NN's if wanted."""
    structure = graph.structure
    adders = [f"  TfLiteStatus {name}() {{ return Add(); }}" for name in sorted(ADDERS.values()) if name != "AddConv2D"]
    sizes = {
        "needed": NEEDED,
        "input": structure.bytes_of(structure.inputs[0]),
        "output": structure.bytes_of(structure.outputs[0]),
    }
    files = {
        INTERPRETER: _INTERPRETER,
        RESOLVER: _RESOLVER % {"adders": "\n".join(adders)},
        "tensorflow/lite/schema/schema_generated.h": _SCHEMA,
        "tensorflow/lite/micro/kernels/conv.h": _CONV,
        "tensorflow/lite/micro/micro_interpreter.cc": _SOURCE % sizes,
        "tensorflow/lite/micro/broken_test.cc": "#error tests are not built\n",
        "third_party/flatbuffers/include/flatbuffers/flatbuffers.h": "",
    }
    if cmsis_nn:
        files |= {
            "tensorflow/lite/micro/kernels/cmsis_nn/conv.cc": "",
            "third_party/cmsis_nn/Include/arm_nnfunctions.h": _NN_HEADER,
            "third_party/cmsis_nn/Source/ConvolutionFunctions/arm_copy.c": _NN_SOURCE,
        }
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder
