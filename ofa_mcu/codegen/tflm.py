"""C++ that runs a .tflite file with TFLite Micro, behind the same `ofa_model.h` as the compiled runtime.

Four files: the header, the .tflite file as a C array, the interpreter with a resolver of just the operators used, and
silent stubs of what TFLite Micro wants from a platform. No heap: interpreter and resolver lie in static storage.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ofa_mcu.codegen.c_text import array_definition, comment
from ofa_mcu.codegen.emit import ARENA_SECTION, BANNER, CONSTANT_SECTION, model_header
from ofa_mcu.codegen.ends import check_ends
from ofa_mcu.codegen.tflm_api import INTERPRETER, RESOLVER, TflmApi
from ofa_mcu.graph.ir import Int8Graph
from ofa_mcu.graph.tflite_options import BuiltinOperator
from ofa_mcu.graph.tflite_reader import operators_used
from ofa_mcu.graph.tflite_schema import SCHEMA_VERSION
from ofa_mcu.space.shapes import ShapeGraph

__all__ = ["FAILURES", "emit_tflm", "interpreter_source"]

FAILURES = ("SCHEMA", "OPERATOR", "TENSORS", "INPUT", "OUTPUT", "INVOKE")
"""What can go wrong, from number 1 on; `ofa_model_status` has the number in its top byte and a detail below it."""

_STATUS = [
    comment("TFLite Micro runs this model; the protocol asks before every request whether it can."),
    '#define OFA_MODEL_RUNTIME "tflm"',
    "",
    comment(
        "0, or what went wrong: in the top byte 1 the file's schema, 2 an operator's registration (detail: which), "
        "3 the tensors do not fit the arena (detail: its bytes), 4 an input or 5 an output is not what is said above "
        "(detail: which), 6 the inference. The first call sets the interpreter up; the other functions call it, too, "
        "and inputs and outputs are at NULL where it failed."
    ),
    "uint32_t ofa_model_status(void);",
    "",
    comment("Bytes of the arena that TFLite Micro uses; 0 where it could not be set up."),
    "uint32_t ofa_model_arena_used(void);",
    "",
]

_SUPPORT = """\
%(banner)s
/* What TFLite Micro wants from a platform; a library's own functions take the place of the weak ones. The serial line
 * belongs to the protocol, so nothing is logged.
 */
#include <stdarg.h>
#include <stddef.h>

__attribute__((weak)) void DebugLog(const char *format, va_list arguments)
{
    (void)format;
    (void)arguments;
}

__attribute__((weak)) int DebugVsnprintf(char *buffer, size_t size, const char *format, va_list arguments)
{
    (void)format;
    (void)arguments;
    if (size > 0) {
        buffer[0] = '\\0';
    }
    return 0;
}

#ifdef OFA_UART_BASE /* the emulated twin: no C++ library is linked; what must not happen ends in its fault handler */
void abort(void)
{
    __builtin_trap();
}

__attribute__((weak)) void __cxa_pure_virtual(void)
{
    __builtin_trap();
}

/* operator delete, with and without a size: virtual destructors name them, but nothing is ever deleted. */
__attribute__((weak)) void _ZdlPv(void *place)
{
    (void)place;
    __builtin_trap();
}

__attribute__((weak)) void _ZdlPvj(void *place, unsigned size)
{
    (void)place;
    (void)size;
    __builtin_trap();
}
#endif
"""

_HEAD = """\
{banner}
#include "ofa_model.h"

#include <stddef.h>

#include <new>

#include "ofa_tflite.h"
{includes}

{namespaces}

{section}

/* Activations, scratch and structures of TFLite Micro. */
extern "C" {{
uint8_t ofa_arena[OFA_MODEL_ARENA_BYTES] __attribute__((section(OFA_ARENA_SECTION), aligned(16)));
}}

namespace {{

using Resolver = MicroMutableOpResolver<{count}>;

enum Failure : uint32_t {{ {failures} }};

alignas(Resolver) unsigned char resolver_place[sizeof(Resolver)];
alignas(MicroInterpreter) unsigned char interpreter_place[sizeof(MicroInterpreter)];
MicroInterpreter *interpreter;
bool started;
uint32_t status;
int8_t *input_places[OFA_MODEL_INPUTS];
int8_t *output_places[OFA_MODEL_OUTPUTS];

uint32_t failed(Failure what, size_t detail)
{{
    return (uint32_t)what << 24 | ((uint32_t)detail & 0xffffffu);
}}

/* Where the tensor's codes are; NULL where it is not of that type and size. */
int8_t *place_of(const TfLiteTensor *tensor, TfLiteType type, size_t bytes)
{{
    if (tensor == nullptr || tensor->type != type || tensor->bytes != bytes) {{
        return nullptr;
    }}
    return reinterpret_cast<int8_t *>(tensor->data.raw);
}}

uint32_t set_up()
{{
    const Model *model = GetModel(ofa_tflite);
    if (model->version() != {schema}) {{
        return failed(FAILED_SCHEMA, model->version());
    }}
    Resolver *resolver = new (resolver_place) Resolver();
"""

_BODY = """\
    interpreter = new (interpreter_place) MicroInterpreter(model, *resolver, ofa_arena, OFA_MODEL_ARENA_BYTES);
    if (interpreter->AllocateTensors() != kTfLiteOk) {{
        return failed(FAILED_TENSORS, OFA_MODEL_ARENA_BYTES);
    }}
    if (interpreter->inputs_size() != OFA_MODEL_INPUTS) {{
        return failed(FAILED_INPUT, OFA_MODEL_INPUTS);
    }}
    if (interpreter->outputs_size() != OFA_MODEL_OUTPUTS) {{
        return failed(FAILED_OUTPUT, OFA_MODEL_OUTPUTS);
    }}
{ends}
    return 0;
}}

}} // namespace

uint32_t ofa_model_status(void)
{{
    if (!started) {{
        started = true;
        status = set_up();
    }}
    return status;
}}

uint32_t ofa_model_arena_used(void)
{{
    return ofa_model_status() == 0 ? (uint32_t)interpreter->arena_used_bytes() : 0;
}}

{accessors}
void ofa_model_run(void)
{{
    if (ofa_model_status() == 0 && interpreter->Invoke() != kTfLiteOk) {{
        status = failed(FAILED_INVOKE, 0);
    }}
}}
"""


def emit_tflm(
    data: bytes,
    graph: Int8Graph,
    *,
    name: str,
    model_crc32: int,
    arena_bytes: int,
    api: TflmApi | None = None,
    kernels: str = "unknown",
) -> dict[str, str]:
    """File name to text of ofa_model.h, ofa_model_tflm.cpp, ofa_tflite.h, ofa_tflite.c and ofa_tflm_support.c.

    Args:
        data: the .tflite file.
        graph: what `read_tflite` reads in it.
        name: name of the model, printable ASCII.
        model_crc32: CRC-32 of `data`.
        arena_bytes: of TFLite Micro's arena.
        api: what the library offers; default: what every release does.
        kernels: whose kernels the library has, a word for the protocol.

    Raises:
        UsageError: `name` or `model_crc32` cannot be written, or the library lacks an operator.
    """
    api = api or TflmApi()
    check_ends(graph.structure)
    codes = np.frombuffer(data, np.uint8)
    array = array_definition("ofa_tflite", codes, attribute="OFA_CONSTANT", alignment=16)
    begin = [BANNER, "#ifndef OFA_TFLITE_H", "#define OFA_TFLITE_H", "", "#include <stdint.h>", "", *CONSTANT_SECTION]
    declared = f"extern const uint8_t ofa_tflite[{codes.size}];"
    guard = ["#ifdef __cplusplus", 'extern "C" {', "#endif", declared, "#ifdef __cplusplus", "}", "#endif"]
    what = comment("The .tflite file, byte for byte.")
    whose = [comment("Whose kernels TFLite Micro has here"), f'#define OFA_MODEL_KERNELS "{kernels}"']
    return {
        "ofa_model.h": model_header(graph, graph, arena_bytes, name, model_crc32, [*whose, "", *_STATUS]),
        "ofa_model_tflm.cpp": interpreter_source(graph.structure, operators_used(data), api),
        "ofa_tflite.h": "\n".join([*begin, what, *guard, "", "#endif", ""]),
        "ofa_tflite.c": "\n".join([BANNER, '#include "ofa_tflite.h"', "", array, ""]),
        "ofa_tflm_support.c": _SUPPORT % {"banner": BANNER},
    }


def interpreter_source(structure: ShapeGraph, operators: Sequence[BuiltinOperator], api: TflmApi) -> str:
    """Text of ofa_model_tflm.cpp: a graph's inputs and outputs, and a resolver of the operators; as `emit_tflm`."""
    headers = {INTERPRETER, RESOLVER, "tensorflow/lite/schema/schema_generated.h"}
    headers |= {api.int8[operator] for operator in operators if operator in api.int8}
    head = _HEAD.format(
        banner=BANNER,
        section="\n".join(ARENA_SECTION),
        includes="\n".join(f'#include "{header}"' for header in sorted(headers)),
        namespaces="\n".join(f"using namespace {name};" for name in api.namespaces),
        count=max(len(operators), 1),
        schema=SCHEMA_VERSION,
        failures=", ".join(f"FAILED_{failure} = {number}" for number, failure in enumerate(FAILURES, 1)),
    )
    added = [
        line
        for index, operator in enumerate(operators)
        for line in (
            f"    if (resolver->{api.registration(operator)} != kTfLiteOk) {{",
            f"        return failed(FAILED_OPERATOR, {index});",
            "    }",
        )
    ]
    checked, accessors = [], []
    for kind, constant in (("input", ""), ("output", "const ")):
        names = structure.inputs if kind == "input" else structure.outputs
        macro = f"OFA_MODEL_{kind.upper()}"
        for index, name in enumerate(names):
            type_name = "kTfLiteFloat32" if name in structure.floats else "kTfLiteInt8"
            checked += [
                f"    {kind}_places[{index}] = place_of(interpreter->{kind}({index}), {type_name}, "
                f"{macro}_{index}_BYTES);",
                f"    if ({kind}_places[{index}] == nullptr) {{",
                f"        return failed(FAILED_{kind.upper()}, {index});",
                "    }",
            ]
        where = "index" if len(names) > 1 else "0"
        accessors += [
            f"{constant}int8_t *ofa_model_{kind}{'_at(int index)' if len(names) > 1 else '(void)'}",
            *("{", f"    return ofa_model_status() == 0 ? {kind}_places[{where}] : nullptr;", "}", ""),
        ]
        if len(names) > 1:
            sizes = ", ".join(f"{macro}_{index}_BYTES" for index in range(len(names)))
            accessors += [
                f"int32_t ofa_model_{kind}_bytes_at(int index)",
                *("{", f"    static const int32_t sizes[{macro}S] = {{{sizes}}};", "    return sizes[index];", "}", ""),
            ]
    body = _BODY.format(ends="\n".join(checked), accessors="\n".join(accessors))
    return head + "\n".join([*added, ""]) + body
