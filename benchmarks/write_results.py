"""Renders docs/results.md from what the other benchmarks measured (benchmarks/results/*.json, planning data).

python benchmarks/write_results.py
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ofa_mcu.files import write_text
from ofa_mcu.planning.core_model import core_model, known_cores
from ofa_mcu.supernet.shipped_files import PREDICTOR_FILE, supernet_folder

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results"


def table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [headings, ["---"] * len(headings), *rows]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


def read(name: str) -> dict[str, Any]:
    """A benchmark's results."""
    value: dict[str, Any] = json.loads((RESULTS / name).read_text())
    return value


def percent(share: float) -> str:
    """A share as a percentage with two digits."""
    return f"{100 * share:.2f}"


def supernet_section() -> str:
    """Supernet against from-scratch training."""
    result = read("supernet_vs_scratch.json")
    rows = [
        [
            r["subnet"],
            f"{r['macs']:,}",
            percent(r["alone"]),
            percent(r["supernet"]),
            f"{100 * (r['alone'] - r['supernet']):+.2f}",
        ]
        for r in result["rows"]
    ]
    quality = json.loads((supernet_folder("fashion-mnist") / PREDICTOR_FILE).read_text())["quality"]
    return (
        "## Supernet against training alone\n\n"
        f"Fashion-MNIST, 10,000 test images, fp32. Four subnets at equal steps of log(MACs); both columns trained "
        f"{result['epochs']} epochs; the supernet's subnets had batch-norm statistics recalibrated and no other "
        "training.\n\n"
        + table(["subnet", "MACs", "trained alone %", "from the supernet %", "gap, points"], rows)
        + f"\nMean gap {result['mean_gap_points']:.2f} points. `benchmarks/supernet_vs_scratch.py`\n\n"
        f"Accuracy predictor, {quality['subnets']} subnets, 5-fold held out: Kendall τ {quality['kendall']:.3f} "
        f"(MACs alone {quality['kendall_macs']:.3f}), Spearman {quality['spearman']:.3f}, "
        f"RMSE {quality['rmse_points']:.2f} points.\n"
    )


def promise_section() -> str:
    """Promise against linked image and measured instructions."""
    rows = []
    for r in read("end_to_end.json")["rows"]:
        off = 100 * (r["instructions_promised"] / r["instructions"] - 1)
        rows.append(
            [
                r["board"],
                f"{r['sram_promised']:,} / {r['sram_linked']:,}",
                f"{r['flash_promised']:,} / {r['flash_linked']:,}",
                f"{r['instructions_promised']:,} / {r['instructions']:,} ({off:+.1f} %)",
                f"{r['stack_used']} of {r['stack_reserved']}",
            ]
        )
    return (
        "## Promise against the linked image\n\n"
        "SRAM is arena + protocol buffers + HAL data + stack reserve; flash is code + weights; both in bytes, promised "
        "by the planner and read from the ELF of the emulated twin. Instructions of one inference (median), "
        "promised and counted in QEMU with fixed `-icount`; an emulator says nothing about time.\n\n"
        + table(
            [
                "board",
                "SRAM promised / linked",
                "flash promised / linked",
                "instructions promised / measured",
                "stack B",
            ],
            rows,
        )
        + "\n`benchmarks/end_to_end.py`\n"
    )


def accuracy_section() -> str:
    """Accuracy fp32, int8, on the device."""
    rows = []
    for r in read("end_to_end.json")["rows"]:
        rows.append(
            [
                r["board"],
                r["subnet"],
                f"{r['macs']:,}",
                percent(r["accuracy_fp32"]),
                percent(r["accuracy_int8"]),
                f"{percent(r['accuracy'])} ({r['images']} images)",
                f"{r['differing_bytes']} of {r['bytes_compared']}",
            ]
        )
    return (
        "## Accuracy: fp32, int8, on the device\n\n"
        "Each board's pick of `ofa-mcu search --board ID` (rp2040 with `--max-instructions 4M`); fp32 and int8 on "
        "10,000 test images, device in the twin over the serial protocol, every output byte compared with the "
        "reference.\n\n"
        + table(["board", "subnet", "MACs", "fp32 %", "int8 %", "device %", "differing bytes"], rows)
        + "\n`benchmarks/end_to_end.py`\n"
    )


def compiler_section() -> str:
    """Whole models and layers through the compiler."""
    result = read("compiler.json")
    models = []
    for r in (*result["models"], *result["cores"]):
        given = r["tflm_cmsis_nn_instructions"]
        error = 100 * (r["instructions_predicted"] / r["instructions"] - 1)
        models.append(
            [
                r["model"],
                r["core"],
                f"{r['live_macs']:,} of {r['macs']:,}",
                f"{r['instructions']:,} ({error:+.1f} %)",
                f"{given:,.0f}" if given else "",
                f"{r['arena_bytes']:,} ({r['arena_lower_bound']:,})",
                f"{r['tflm_arena']:,}" if r["tflm_arena"] else "",
                f"{r['flash_code_bytes']:,} + {r['flash_weight_bytes']:,}",
                f"{r['differing_bytes']} of {r['bytes_compared']:,}",
            ]
        )
    headings = ["model", "core", "MACs that remain", "instructions (promise off by)", "TFLM + CMSIS-NN"]
    headings += ["arena (lower bound)", "TFLM arena", "flash code + constants", "differing bytes"]
    kinds = [
        [r["core"], r["kind"], str(r["layers"]), f"{r['best']:.3f}", f"{r['whole']:.3f}", f"{r['worst']:.3f}"]
        for r in result["kinds"]
    ]
    sizes = [
        [r["model"], *(f"{r[f'{how}_code']:,} / {r[f'{how}_instructions']:,}" for how in ("speed", "balanced", "size"))]
        for r in result["sizes"]
    ]
    return (
        "## Compiled models\n\n"
        "Instructions of one inference, counted in QEMU with fixed `-icount` by the firmware of the board's twin; "
        "arena with input and output, without stack and protocol; code of layers and kernels, no firmware. The first "
        "four are files of others (`OFA_MCU_MODELS`), the rest comes from `benchmarks/zoo` with random weights. TFLite "
        "Micro with CMSIS-NN was counted with the same compiler on the same machine; for mcunet_vww1 its arena holds "
        "float tensors at the borders.\n\n"
        + table(headings, models)
        + "\nLayers of these models, instructions per MAC (of an add: per element), requantization and "
        "everything else included:\n\n"
        + table(["core", "layer", "layers", "best", "all together", "worst"], kinds)
        + "\nCode bytes / predicted instructions by `--optimize`, Cortex-M7:\n\n"
        + table(["model", "speed", "balanced", "size"], sizes)
        + "\n`benchmarks/compiler.py`\n"
    )


def model_section() -> str:
    """Held-out error of the instruction model."""
    rows = []
    for core in known_cores():
        for kernel, error in core_model(core).errors.items():
            rows.append([core, kernel, str(error.layers), f"{100 * error.mean:.2f}", f"{100 * error.largest:.2f}"])
    return (
        "## Instruction model, on layers held out of the fit\n\n"
        + table(["core", "kernel", "held-out layers", "mean error %", "largest error %"], rows)
        + "\n`benchmarks/calibrate_cost.py`\n"
    )


def main() -> None:
    """Write docs/results.md."""
    sections = [
        supernet_section(),
        promise_section(),
        accuracy_section(),
        *([compiler_section()] if (RESULTS / "compiler.json").exists() else []),
        model_section(),
    ]
    head = (
        "# Results\n\nWritten by `benchmarks/write_results.py`; every table names the benchmark that measured it.\n\n"
    )
    write_text(ROOT / "docs" / "results.md", head + "\n".join(sections))


if __name__ == "__main__":
    main()
