"""The cross-check against ONNX and onnx2tf: what it finds, what it says, and that it needs no network."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from ofa_mcu.cli import main
from ofa_mcu.errors import MismatchError, OfaMcuError
from ofa_mcu.graph.ir import Int8Graph, Quantization
from ofa_mcu.graph.tflite_writer import write_tflite
from ofa_mcu.quantization import onnx_worker
from ofa_mcu.quantization.crosscheck import CrossCheck, FileResult, Port, crosscheck, operator_list
from ofa_mcu.quantization.onnx_path import convert_by_onnx, require_onnx
from ofa_mcu.quantization.ptq import quantize
from ofa_mcu.runs import Run
from ofa_mcu.space.lowering import shape_graph
from ofa_mcu.space.subnet import Subnet
from ofa_mcu.supernet.network import PlainNetwork
from ofa_mcu.tasks.resample import to_codes
from tests.graph.strategies import random_graph
from tests.space.spaces import TINY

COLOUR = dataclasses.replace(TINY, name="colour", resolutions=(16,), input_channels=3)
SUBNET = Subnet.parse("r16-w1-k5e3.k3e2-k3e4.k3e2")
IMAGES = 400

with_onnx = pytest.mark.skipif(find_spec("onnx2tf") is None, reason="the extra [onnx] is not installed")


# --- what needs no extra


@pytest.fixture
def no_onnx2tf(monkeypatch: pytest.MonkeyPatch) -> None:
    """None in its place is how Python notes that a module is not to be found."""
    monkeypatch.setitem(sys.modules, "onnx2tf", None)


@pytest.mark.usefixtures("no_onnx2tf")
def test_without_the_extra_one_sentence_says_what_to_install() -> None:
    with pytest.raises(
        OfaMcuError, match=r"needs the extra \[onnx\], of which .*onnx2tf.* pip install 'ofa-mcu\[onnx\]'$"
    ):
        require_onnx()


@pytest.mark.usefixtures("no_onnx2tf")
@pytest.mark.parametrize("option", [(), ("--json",)])
def test_without_the_extra_the_verb_ends_with_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], option: tuple[str, ...]
) -> None:
    Run(tmp_path).write("report.json", {"schema": 1})
    with pytest.raises(SystemExit) as ended:
        main(["crosscheck", "--run", str(tmp_path), *option])
    out, err = capsys.readouterr()
    assert ended.value.code == 1
    assert err.startswith("ofa-mcu: ") and err.count("\n") == 1 and "pip install 'ofa-mcu[onnx]'" in err
    if option:
        found = json.loads(out)
        assert (found["schema"], found["error"]["message"]) == (1, err.removeprefix("ofa-mcu: ").rstrip())
    else:
        assert out == ""


def test_help_tells_the_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["crosscheck", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert "Exit code 5" in text and "95 %" in text and "1 point" in text and '"onnx"' in text


def test_operators_are_listed_in_order() -> None:
    kinds = {
        "Conv2D": "CONV_2D",
        "DepthwiseConv2D": "DEPTHWISE_CONV_2D",
        "FullyConnected": "FULLY_CONNECTED",
        "Add": "ADD",
        "Mean": "MEAN",
    }
    for seed in range(10):
        graph = random_graph(np.random.default_rng(seed))
        wanted = tuple(kinds[type(op).__name__] for op in graph.structure.operators)
        assert operator_list(write_tflite(graph)) == wanted


def file_result(answers: list[int], right: int) -> FileResult:
    return FileResult(
        size=1,
        operators=("CONV_2D",),
        input=Port("in", (1, 2, 2, 1), Quantization(1.0, 0)),
        output=Port("out", (1, 4), Quantization(1.0, 0)),
        tflm_head_bytes=16,
        answers=np.array(answers),
        accuracy=right / len(answers),
        sqnr_db=30.0,
        agreement_fp32=1.0,
        seconds=0.0,
    )


@pytest.mark.parametrize(
    "unlike, fewer_right, passes", [(0, 0, True), (10, 2, True), (11, 0, False), (0, 2, True), (0, 3, False)]
)
def test_bounds(unlike: int, fewer_right: int, passes: bool) -> None:
    """Of 200 images 10 may be answered differently, and 2 more be wrong, on either side."""
    ours, theirs = file_result([0] * 200, 150), file_result([1] * unlike + [0] * (200 - unlike), 150 - fewer_right)
    for direct, other in ((ours, theirs), (theirs, ours)):
        result = CrossCheck("net", 200, 0.75, direct, other, b"", {}, {})
        assert result.passed is passes is result.to_json()["passed"]
        if passes:
            result.check()
        else:
            with pytest.raises(MismatchError, match=r"of net answer alike on .* of 200 images") as caught:
                result.check()
            assert caught.value.exit_code == 5


def test_a_file_of_another_network_is_refused(tmp_path: Path) -> None:
    graph = random_graph(np.random.default_rng(3))
    network = PlainNetwork(shape_graph(COLOUR, SUBNET))
    codes, labels = np.zeros((1, 16, 16, 3), np.int8), np.zeros(1, np.int64)
    with pytest.raises(OfaMcuError, match="so it is of another network"):
        crosscheck(network, write_tflite(graph), codes, codes, labels, tmp_path / "log")
    with pytest.raises(OfaMcuError, match="is not a TensorFlow Lite file"):
        crosscheck(network, b"nothing like it", codes, codes, labels, tmp_path / "log")


def test_the_worker_cannot_reach_the_network() -> None:
    code = (
        f"import runpy, sys, urllib.request\n"
        f"worker = runpy.run_path({onnx_worker.__file__!r})\n"
        f"sys.addaudithook(worker['_forbid_network'])\n"
        f"urllib.request.urlopen('http://127.0.0.1:9/')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 1
    assert "RuntimeError: the conversion tried to use the network" in done.stderr


# --- what needs the extra


@dataclasses.dataclass(frozen=True)
class Learned:
    """A small colour network that knows its task, its int8 graph, and images it has not seen."""

    network: PlainNetwork
    graph: Int8Graph
    calibration: NDArray[np.int8]
    images: NDArray[np.int8]
    labels: NDArray[np.int64]


def stripes(count: int, seed: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Noisy waves (N, 16, 16, 3): upright or lying (bit 0), red or blue (bit 1)."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 4, count)
    wave = np.sin(np.arange(16) * 1.2 + rng.uniform(0, 6, (count, 1)))
    image = np.where((labels & 1)[:, None, None] == 1, wave[:, :, None], wave[:, None, :])
    tint = np.where((labels >> 1)[:, None] == 1, np.array([1.0, 0.4, 0.2]), np.array([0.2, 0.4, 1.0]))
    mixed = 128 + 70 * image[..., None] * tint[:, None, None, :] + rng.normal(0, 30, (count, 16, 16, 3))
    return np.clip(mixed, 0, 255).astype(np.uint8), labels


def floats(images: NDArray[np.uint8]) -> torch.Tensor:
    return torch.from_numpy(images.transpose(0, 3, 1, 2).astype(np.float32) / np.float32(255))


@pytest.fixture(scope="module")
def learned() -> Learned:
    network = PlainNetwork(shape_graph(COLOUR, SUBNET))
    images, labels = stripes(1024, 0)
    inputs, targets = floats(images), torch.from_numpy(labels)
    optimizer = torch.optim.Adam(network.parameters(), 5e-3)
    network.train()
    for step in range(96):
        part = slice(64 * (step % 16), 64 * (step % 16 + 1))
        loss = F.cross_entropy(network(inputs[part]), targets[part])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    network.eval()
    test, test_labels = stripes(IMAGES, 1)
    return Learned(network, quantize(network, inputs), to_codes(images), to_codes(test), test_labels)


def generators() -> tuple[str, bytes]:
    """State of the random generators that onnx2tf seeds where it is imported."""
    return repr(np.random.get_state()), torch.get_rng_state().numpy().tobytes()


@pytest.fixture(scope="module")
def outcome(learned: Learned, tmp_path_factory: pytest.TempPathFactory) -> tuple[CrossCheck, str]:
    """The cross-check of the colour network, and its log; three channels are what onnx2tf downloads images for."""
    log = tmp_path_factory.mktemp("crosscheck") / "crosscheck.log"
    model = write_tflite(learned.graph)
    before = generators()
    result = crosscheck(learned.network, model, learned.calibration, learned.images, learned.labels, log)
    assert generators() == before, "the converters' own seeding has reached this process"
    return result, log.read_text()


@with_onnx
@pytest.mark.slow
def test_two_conversions_of_one_network_agree(outcome: tuple[CrossCheck, str]) -> None:
    result, log = outcome
    result.check()
    assert result.accuracy_fp32 > 0.9, "the network has not learned its task"
    assert result.operators_equal and result.shapes_equal
    assert len(result.direct.operators) == len(operator_list(result.converted)) > 10
    assert "PAD" not in result.onnx2tf.operators
    assert result.direct.tflm_head_bytes == result.onnx2tf.tflm_head_bytes
    assert min(result.direct.sqnr_db, result.onnx2tf.sqnr_db) > 20
    assert log


@with_onnx
@pytest.mark.slow
def test_the_report_is_json(outcome: tuple[CrossCheck, str]) -> None:
    report = json.loads(json.dumps(outcome[0].to_json()))
    assert (report["schema"], report["images"], report["passed"]) == (1, IMAGES, True)
    assert report["direct"]["input_shape"] == report["onnx2tf"]["input_shape"] == [1, 16, 16, 3]
    assert report["direct"]["output_shape"] == [1, 4]
    assert report["seconds"]["total"] >= report["seconds"]["export"] + report["seconds"]["convert"]


@with_onnx
@pytest.mark.slow
def test_a_wrong_file_is_found(learned: Learned, tmp_path: Path) -> None:
    parameters = dict(learned.graph.parameters)
    last = learned.graph.structure.operators[-1].name
    parameters[last] = dataclasses.replace(parameters[last], weights=-parameters[last].weights)
    wrong = write_tflite(dataclasses.replace(learned.graph, parameters=parameters))
    few = slice(100)
    result = crosscheck(
        learned.network, wrong, learned.calibration[few], learned.images[few], learned.labels[few], tmp_path / "log"
    )
    with pytest.raises(MismatchError, match="do not deploy ours"):
        result.check()
    assert result.direct.sqnr_db < 6 < result.onnx2tf.sqnr_db


@with_onnx
@pytest.mark.slow
def test_a_failing_conversion_names_its_reason_and_its_log(
    learned: Learned, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "crosscheck.log"
    monkeypatch.setattr(onnx_worker, "CALIBRATION", "elsewhere.npy")  # the worker's own process does not see this
    with pytest.raises(OfaMcuError, match=r"could not convert r16.* \(FileNotFoundError: .*calibration.npy") as caught:
        convert_by_onnx(learned.network, np.zeros((1, 16, 16, 3), np.float32), log)
    assert str(log) in str(caught.value) and "Traceback" in log.read_text()


@with_onnx
@pytest.mark.slow
def test_the_verb_on_the_shipped_supernet(tmp_path: Path) -> None:
    """All of the road: a run's folder, as a search leaves it, is rebuilt to the byte and checked on real images."""
    from ofa_mcu.quantization.evaluate import Evaluator
    from ofa_mcu.supernet.shipped_files import SUPERNET_FILE, supernet_folder
    from ofa_mcu.supernet.store import load_supernet
    from ofa_mcu.tasks.registry import task_named

    supernet, _ = load_supernet(supernet_folder("fashion-mnist") / SUPERNET_FILE)
    pick = Evaluator(supernet, task_named("fashion-mnist").load(None)).specialise(supernet.space.smallest)
    run = Run(tmp_path / "run")
    run.write("config.json", {"task": "fashion-mnist", "supernet": "shipped"})
    run.write("report.json", {"schema": 1, "pick": {"subnet": str(pick.subnet)}})
    run.write_model(write_tflite(pick.graph))

    command = [sys.executable, "-m", "ofa_mcu", "crosscheck", "--run", str(run.folder), "--images", "300", "--json"]
    threads = {"OMP_NUM_THREADS": str(torch.get_num_threads())}  # sums are rounded in the order they are split in
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | threads)
    assert done.returncode == 0, done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    assert report == run.read("crosscheck.json")
    assert report["model_rebuilt_equal"] and report["operators_equal"] and report["tflm_head_equal"]
    assert report["accuracy_fp32"] > 0.85
    converted = (run.folder / "crosscheck.tflite").read_bytes()
    assert list(operator_list(converted)) == report["onnx2tf"]["operators"]
    assert (run.folder / "crosscheck.log").is_file()
