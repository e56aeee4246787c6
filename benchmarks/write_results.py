"""Renders docs/results.md from what the other benchmarks measured (benchmarks/results/*.json, planning data).

python benchmarks/write_results.py
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ofa_mcu.files import write_text
from ofa_mcu.planning.core_model import core_model, known_cores
from ofa_mcu.supernet.shipped_files import PREDICTOR_FILE

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results"
SHIPPED = ROOT / "ofa_mcu" / "supernet" / "shipped"


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


def points(low_high: list[float] | None, value: float) -> str:
    """A difference in points, with its interval where there is one."""
    known = f" ({100 * low_high[0]:+.2f} .. {100 * low_high[1]:+.2f})" if low_high else ""
    return f"{100 * value:+.2f}{known}"


def supernet_section() -> str:
    """Supernet against from-scratch training, and the predictor of each shipped supernet."""
    parts = [
        "## Supernet against training alone\n\n"
        "Subnets spread over the space on test examples, fp32. Both columns with the same recipe, and as many epochs "
        "where nothing else is said; the supernet's subnets had batch-norm statistics recalibrated and no other "
        "training. A gap is what training alone is better by, in points, with the 95 % interval over seeds and "
        "examples; one that holds 0 is a tie.\n"
    ]
    for task, result in read("supernet_vs_scratch.json").items():
        rows = [
            [
                r["subnet"],
                f"{r['macs']:,}",
                percent(r["alone"]),
                percent(r["supernet"]),
                points(r["gap_interval"], r["gap"]),
            ]
            for r in result["rows"]
        ]
        folds = result["folds"]
        how = f"{result['test_examples']:,} test examples" + (f" of {folds} folds" if folds else "")
        epochs, shared = result["recipe"]["epochs"], result.get("supernet_epochs", result["recipe"]["epochs"])
        trained = f"{epochs} epochs" + (f" (the supernet {shared})" if shared != epochs else "")
        parts.append(
            f"### {task}\n\n{trained}, {how}, {of_seeds(result)}.\n\n"
            + table(["subnet", "MACs", "trained alone %", "from the supernet %", "gap, points"], rows)
            + f"\nMean gap {points(result['mean_gap_interval'], result['mean_gap'])} points."
            + "".join(f" {note}" for note in [result.get("note")] if note)
            + "\n"
        )
    predictors = []
    for task in sorted(folder.name for folder in SHIPPED.iterdir() if (folder / PREDICTOR_FILE).exists()):
        q = json.loads((SHIPPED / task / PREDICTOR_FILE).read_text())["quality"]
        cells = (q["kendall"], q["kendall_macs"], q["spearman"])
        predictors.append([task, str(q["subnets"]), *(f"{cell:.3f}" for cell in cells), f"{q['rmse_points']:.2f}"])
    heading = ["supernet", "subnets", "Kendall τ", "τ of MACs alone", "Spearman", "RMSE, points"]
    parts.append(
        "`benchmarks/supernet_vs_scratch.py`\n\n### Accuracy predictors, 5-fold held out\n\n"
        + table(heading, predictors)
    )
    return "\n".join(parts)


def by_task(
    name: str,
    heading: Sequence[str],
    cells: Callable[[dict[str, Any]], list[str]],
    more: Callable[[dict[str, Any]], str] = lambda result: "",
) -> list[str]:
    """A table for every task of a benchmark; `more` is what stands above it beside the seeds."""
    return [
        f"### {task}\n\n{of_seeds(result)}{more(result)}.\n\n" + table(heading, [cells(row) for row in result["rows"]])
        for task, result in read(name).items()
    ]


def of_seeds(result: dict[str, Any]) -> str:
    """How many trainings a figure rests on."""
    count = len(result["seeds"])
    return f"{count} seed{'s' if count > 1 else ''}"


def parts_section() -> str:
    """What each part of the recipe is worth."""
    parts = [
        "## Parts of the recipe at equal compute\n\n"
        "Supernets trained without a part, for as many multiply-accumulates; mean test accuracy of twelve subnets at "
        "equal steps of log(MACs); difference to the whole recipe in points with its 95 % interval over seeds and "
        "examples.\n"
    ]
    heading = ["recipe", "epochs", "tera MACs", "mean accuracy %", "difference, points", ""]

    def cells(r: dict[str, Any]) -> list[str]:
        difference = points(r["difference_interval"], r["difference"])
        return [
            r["recipe"],
            str(r["epochs"]),
            f"{r['tera_macs']:.3f}",
            percent(r["accuracy"]),
            difference,
            r["verdict"],
        ]

    return "\n".join([*parts, *by_task("recipe_parts.json", heading, cells), "`benchmarks/recipe_parts.py`\n"])


def early_bird_section() -> str:
    """What stopping early saves and costs."""
    parts = [
        "## Stopping early\n\n"
        "Tickets drawn early against the same drawn at the end of the dense training, and supernets that end once the "
        "ranking of their subnets has settled against those that train to the end. Epochs of everything that is "
        "trained; lost accuracy in points with its 95 % interval over seeds and examples.\n"
    ]
    heading = ["what", "epochs", "epochs saved", "kWh saved", "accuracy % early / late", "lost, points"]

    def cells(r: dict[str, Any]) -> list[str]:
        return [
            r["what"],
            f"{r['epochs']:.1f} of {r['epochs_late']:.1f}",
            f"{r['epochs_saved']:.1f}",
            f"{r['kwh_saved']:.4f} of {r['kwh_late']:.4f}" if r["epochs_saved"] else "none: it never stopped",
            f"{percent(r['accuracy'])} / {percent(r['accuracy_late'])}",
            points(r["lost_interval"], r["lost"]),
        ]

    return "\n".join([*parts, *by_task("early_bird.json", heading, cells), "`benchmarks/early_bird.py`\n"])


def references_section() -> str:
    """Subnets against MLPerf Tiny's references."""
    parts = [
        "## Against the references of MLPerf Tiny\n\n"
        "The references trained alone by our trainer on the same data; the supernet's subnets as they are cut out, "
        "chosen on validation examples. All int8, compiled by us for Cortex-M7, instructions counted in QEMU; SRAM "
        "with buffers, data and stack. Differences in points with 95 % intervals over seeds and examples.\n"
    ]
    heading = ["network", "subnet", "MACs", "instructions", "SRAM B", "arena B", "accuracy %", "difference, points", ""]

    def cells(r: dict[str, Any]) -> list[str]:
        if "macs" not in r:
            return [r["net"], r["subnet"], "", "", "", "", "", "", ""]
        numbers = [f"{r[name]:,}" for name in ("macs", "instructions", "sram_bytes", "arena_bytes")]
        difference = points(r["difference_interval"], r["difference"]) if "difference_interval" in r else ""
        return [r["net"], r["subnet"] or "", *numbers, percent(r["accuracy"]), difference, r.get("verdict", "")]

    def trained(result: dict[str, Any]) -> str:
        epochs, shared = result["epochs"], result["supernet_epochs"]
        decay = f"weight decay {result['weight_decay']:g}"
        return f", the reference trained for {epochs} epochs ({decay}), the supernet for {shared}"

    tables = by_task("references.json", heading, cells, trained)
    return "\n".join([*parts, *tables, "`benchmarks/references.py`\n"])


def span(least_most: list[float], form: str) -> str:
    """From the least to the most."""
    return " to ".join(format(value, form) for value in least_most)


def search_section() -> str:
    """Quality and speed of searches, as far as they were measured."""
    found = read("search.json")
    parts = ["## Search\n"]
    if "exhaustive" in found:
        each = found["exhaustive"]
        rows = [
            [
                r["bounds"],
                f"{r['evaluations']:,} of {r['subnets']:,}",
                f"{r['seconds']:.1f}",
                f"{r['front']:,} of {r['true_front']:,}",
                f"{100 * r['hypervolume_share']:.4f}",
            ]
            for r in each["rows"]
        ]
        heading = ["bounds", "subnets looked at", "seconds", "on the front", "hypervolume % of the true front's"]
        parts.append(f"Against every subnet of the space of {each['space']}:\n\n" + table(heading, rows))
    if "speed" in found:
        rows = [
            [
                r["task"],
                f"{r['subnets']:,}",
                f"{r['per_second']:,}",
                f"{r['planner_ms']:.2f}",
                f"{r['search_seconds']:.1f}",
                r["pick"],
                percent(r["accuracy_int8"]),
            ]
            for r in found["speed"]["rows"]
        ]
        heading = ["supernet", "subnets", "by table, a second", "planner, ms", "search, s", "pick", "int8 %"]
        parts.append("`ofa-mcu search --board stm32f746`, cold, on two cores:\n\n" + table(heading, rows))
    if "fleet" in found:
        f = found["fleet"]
        parts.append(
            f"A made-up fleet of {f['boards']:,} boards takes {f['seconds']} s. Of {f['sample']} of them searched each "
            f"on its own, {f['sample_feasible']} have a subnet that fits; it is at most "
            f"{f['largest_difference_points']:.3f} points better by prediction.\n"
        )
    if "boards" in found:
        rows = [
            [
                r["board"],
                r["subnet"],
                *(f"{r[name]:,}" for name in ("sram_bytes", "flash_bytes", "instructions")),
                percent(r["accuracy_int8"]),
            ]
            for r in found["boards"]["rows"]
            if r["subnet"]
        ]
        heading = ["board", "subnet", "SRAM B", "flash B", "instructions", "int8 %"]
        parts.append(
            f"One supernet for {len(rows)} boards, no training, in {found['boards']['seconds']} s "
            f"(`ofa-mcu fleet --boards all`):\n\n" + table(heading, rows)
        )
    if "promises" in found:
        rows = [
            [
                r["board"],
                f"{r['sram_exact']} of {r['subnets']}",
                *(span(r[f"flash_over_{kind}"], "+.0f") for kind in ("compiled", "shapes")),
                *(span([100 * v for v in r[f"instructions_over_{kind}"]], "+.2f") for kind in ("compiled", "shapes")),
                f"{r['differing_bytes']} of {r['bytes_compared']:,}",
            ]
            for r in found["promises"]["rows"]
        ]
        heading = [
            "board",
            "SRAM exact",
            "flash B, compiled",
            "flash B, from shapes",
            "instructions %, compiled",
            "instructions %, from shapes",
            "bytes differing",
        ]
        parts.append(
            f"{found['promises']['subnets']} random subnets, those of them that fit, linked and run on the twins; "
            "promised less linked or counted, least to most. A pick's figures are the compiled ones:\n\n"
            + table(heading, rows)
        )
    if "weights" in found:
        rows = [
            [
                r["task"],
                r["core"],
                f"{r['sram_equal']} of {found['weights']['subnets']}",
                span(r["flash_more"], "+,.0f"),
                *(span([100 * v for v in r[f"{name}_share"]], "+.2f") for name in ("flash", "instructions")),
            ]
            for r in found["weights"]["rows"]
        ]
        parts.append(
            f"{found['weights']['subnets']} random subnets of each supernet, planned with their weights (as a pick is) "
            "less planned from shapes (as the rows of a front are), least to most:\n\n"
            + table(["supernet", "core", "SRAM equal", "flash B", "flash %", "instructions %"], rows)
        )
    return "\n".join([*parts, "`benchmarks/search.py`\n"])


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
        "float tensors at the borders. Chains of layers run as cascades where the arena becomes smaller for at most "
        "1 % more instructions.\n\n"
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


def battery_section() -> str:
    """Lives of batteries."""
    found = read("battery.json")
    names = [each["battery"] for each in found["rows"][0]["periods"][0]["batteries"]]
    rows = [
        [
            r["board"],
            r["task"],
            f"{r['time']['ms']:.3g} (± {100 * r['time']['band']:.0f} %)"
            if r["time"]["band"]
            else f"{r['time']['ms']:.3g}",
            f"{r['energy']['mj']:.3g}",
            f"{period['seconds']:g} s",
            *(span_of_life(each) for each in period["batteries"]),
        ]
        for r in found["rows"]
        for period in r["periods"]
    ]
    power = [[p["board"], f"{p['mw']:g}", f"{p['supply_v']:g}", p["basis"]] for p in found["power"]]
    warnings = {each["warning"] for r in found["rows"] for each in r["periods"][0]["batteries"] if each["warning"]}
    return (
        "## Batteries\n\n"
        "How long cells last with the picks of `ofa-mcu search` that infer every so often and sleep between with "
        f"{found['sleep_ua']:g} µA (assumed, for no profile tells the sleep current of a whole board). The time is "
        "the search's estimate with the band of its basis, which becomes a shortest and a longest life (in brackets); "
        "nobody measured these boards here. Capacities are the makers' at small loads and 20 °C; after ten years or so "
        "it is its age that ends a cell, whatever the arithmetic says.\n\n"
        + table(["board", "task", "ms", "mJ", "every", *names], rows)
        + ("\n\\* " + "; ".join(sorted(warnings)) + ".\n" if warnings else "")
        + "\nActive power, of the profiles:\n\n"
        + table(["board", "mW", "V", "basis"], power)
        + "\n`benchmarks/battery.py`\n"
    )


def brief(value: float) -> str:
    """Three digits, or all of them before the point."""
    return f"{value:.3g}" if value < 1000 else f"{value:,.0f}"


def span_of_life(each: dict[str, Any]) -> str:
    """Days below two years, else years; with the least and the most, and a star where a warning goes with it."""
    unit, size = ("d", 1.0) if each["days"] < 730 else ("y", 365.0)
    known = [each[name] / size for name in ("days_least", "days_most") if each[name] is not None]
    band = f" ({brief(known[0])} to {brief(known[1])})" if known else ""
    return f"{brief(each['days'] / size)} {unit}{band}{' *' if each['warning'] else ''}"


_OPTIONAL = (
    ("references.json", references_section),
    ("recipe_parts.json", parts_section),
    ("early_bird.json", early_bird_section),
    ("search.json", search_section),
    ("battery.json", battery_section),
)


def main() -> None:
    """Write docs/results.md."""
    sections = [
        supernet_section(),
        *(section() for name, section in _OPTIONAL if (RESULTS / name).exists()),
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
