"""A run's int8 file, cross-checked: its network is rebuilt from the supernet and converted another way."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ofa_mcu.files import write_bytes
from ofa_mcu.runs import Run
from ofa_mcu.supernet.shipped_files import SUPERNET_FILE, supernet_folder
from ofa_mcu.tasks.registry import task_named

if TYPE_CHECKING:
    from ofa_mcu.quantization.crosscheck import CrossCheck

__all__ = ["crosscheck_run"]

_RESULT, _MODEL, _LOG = "crosscheck.json", "crosscheck.tflite", "crosscheck.log"


def crosscheck_run(
    run: Run,
    images: int,
    data_dir: Path | None = None,
    say: Callable[[str], None] = lambda text: None,
    show: Callable[[str], None] = lambda text: None,
) -> tuple[CrossCheck, dict[str, Any]]:
    """Cross-check the run's `model.tflite` on its task's first `images` test images; result and report.

    The report goes to the run's `crosscheck.json`, the other file to `crosscheck.tflite`, what the converters said to
    `crosscheck.log`. `model_rebuilt_equal` in the report says whether the supernet still gives the run's very bytes.

    Raises:
        OfaMcuError: the extra [onnx], a file of the run, the supernet or the data are missing, or the other conversion
            failed.
    """
    from ofa_mcu.quantization.onnx_path import require_onnx

    require_onnx()  # before anything slow is loaded
    from ofa_mcu.graph.tflite_writer import write_tflite
    from ofa_mcu.quantization.crosscheck import crosscheck
    from ofa_mcu.quantization.evaluate import Evaluator
    from ofa_mcu.quantization.refine import load_refined
    from ofa_mcu.space.subnet import Subnet
    from ofa_mcu.supernet.store import load_supernet
    from ofa_mcu.tasks.resample import resample, to_codes
    from ofa_mcu.tasks.task import CALIBRATION_IMAGES

    configuration, model = run.read("config.json"), run.model()
    task, named = task_named(configuration["task"], data_dir), configuration["supernet"]
    folder = supernet_folder(task.name, None if named == "shipped" else Path(named))
    supernet, _ = load_supernet(folder / SUPERNET_FILE)
    data = task.load(data_dir)

    show("recalibrating the network")
    if run.network_path.is_file():
        pick = load_refined(run.network_path)
    else:
        pick = Evaluator(supernet, data).specialise(Subnet.parse(run.report()["pick"]["subnet"]))
    rebuilt = write_tflite(pick.graph) == model
    if not rebuilt:
        say(
            f"{run.model_path} is not byte for byte what the supernet gives here (another supernet, version or "
            "number of threads); it is compared with the network of here"
        )
    size = supernet.space.input_size(pick.subnet.resolution)
    checked = crosscheck(
        pick.network,
        model,
        to_codes(resample(data.train.first(CALIBRATION_IMAGES).inputs, size)),
        to_codes(resample(data.test.inputs[:images], size)),
        data.test.labels[:images],
        run.folder / _LOG,
        show,
    )
    body = checked.to_json()
    report = {
        "schema": body.pop("schema"),
        "run": str(run.folder),
        "task": task.name,
        "model_rebuilt_equal": rebuilt,
        **body,
    }
    write_bytes(run.folder / _MODEL, checked.converted)
    run.write(_RESULT, report)
    return checked, report
