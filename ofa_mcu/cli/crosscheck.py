"""`ofa-mcu crosscheck`: a run's int8 file against the one that ONNX and onnx2tf make of the same network."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from ofa_mcu import schemas
from ofa_mcu.cli.common import JSON, DataDir, Run, emit, failing_as_json, say, status


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command()(crosscheck)


def crosscheck(
    run: Run = None,
    images: Annotated[int, typer.Option(min=100, help="Test images to compare on.")] = 1000,
    data_dir: DataDir = None,
    as_json: JSON = False,
) -> None:
    """Check a run's int8 file against an independent conversion: torch, ONNX, onnx2tf, TensorFlow.

    Both files run in LiteRT's reference kernels. Needs the extra "onnx" and no network.

    Exit code 5: they answer alike on less than 95 % of the images, or their accuracies differ by more than 1 point.
    """
    with failing_as_json(as_json, schemas.CROSSCHECK):
        from ofa_mcu.runs import find_run
        from ofa_mcu.search.crosscheck import crosscheck_run

        chosen = find_run(run)
        with status() as show:
            checked, result = crosscheck_run(chosen, images, data_dir, say, show)
        if as_json:
            emit(result)
        else:
            _print(result)
    checked.check()


def _print(result: dict[str, Any]) -> None:
    ours, other = result["direct"], result["onnx2tf"]

    def same(key: str) -> str:
        return "equal" if result[key] else "DIFFERENT"

    def pair(key: str, scale: float = 1, unit: str = "", digits: int = 2) -> str:
        return f"{scale * ours[key]:.{digits}f} and {scale * other[key]:.{digits}f}{unit}"

    print(f"subnet        {result['subnet']}; first figure our file, second onnx2tf's")
    print(f"operators     {len(ours['operators'])} and {len(other['operators'])}, lists {same('operators_equal')}")
    print(f"shapes        {_shapes(ours)} and {_shapes(other)}, {same('shapes_equal')}")
    print(f"file          {ours['bytes']} and {other['bytes']} B")
    print(f"arena         {pair('tflm_head_bytes', digits=0)} B (head of TFLite Micro's), {same('tflm_head_equal')}")
    print(
        f"accuracy      {pair('accuracy', 100, ' %')} int8, {100 * result['accuracy_fp32']:.2f} % float, "
        f"on {result['images']} test images"
    )
    print(f"SQNR          {pair('sqnr_db', 1, ' dB')} of the logits against float")
    print(
        f"answers       alike on {100 * result['argmax_agreement']:.2f} % of the images; like the float network's on "
        f"{pair('argmax_agreement_fp32', 100, ' %')}"
    )
    seconds = result["seconds"]
    print(f"seconds       {seconds['total']:.1f} (export {seconds['export']:.1f}, conversion {seconds['convert']:.1f})")


def _shapes(side: dict[str, Any]) -> str:
    return " -> ".join("x".join(map(str, side[key])) for key in ("input_shape", "output_shape"))
