"""What `ofa-mcu train` leaves: a supernet with its predictor, or one network with its int8 file; report and ledger."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from ofa_mcu.errors import UsageError
from ofa_mcu.graph.tflite_reader import read_tflite
from ofa_mcu.ledger import read_ledger
from ofa_mcu.search.training import TrainRequest, train
from ofa_mcu.space.presets import SPACES
from ofa_mcu.supernet.plain_store import load_network
from ofa_mcu.supernet.store import load_supernet
from ofa_mcu.tasks.options import fixed
from ofa_mcu.tasks.registry import TASKS
from ofa_mcu.training.recipe import Recipe
from tests.space.spaces import TINY
from tests.training.made_up import QUARTERS


@pytest.fixture(autouse=True)
def quarters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TASKS, "quarters", fixed(QUARTERS))
    monkeypatch.setitem(SPACES, "quarters", TINY)


@pytest.fixture(autouse=True)
def threads() -> object:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def recipe(method: str = "sandwich", epochs: int = 2) -> Recipe:
    return Recipe(epochs=epochs, batch=32, peak_rate=0.05, students=1, method=method)


@pytest.mark.slow
def test_a_supernet_and_its_predictor(tmp_path: Path) -> None:
    request = TrainRequest("quarters", recipe(), tmp_path, threads=1, device="cpu", predictor_subnets=12)
    report = train(request)
    assert report is not None and report["kind"] == "supernet" and report["predictor"]["subnets"] == 12
    assert json.loads((tmp_path / "result.json").read_text()) == json.loads(json.dumps(report))
    supernet, header = load_supernet(Path(report["file"]))
    assert supernet.space == TINY and header["trained"] == report["trained"]
    files = {path.name for path in tmp_path.iterdir()}
    assert {"config.json", "log.jsonl", "rankings.json", "curves.png", "predictor.json", "ledger.json"} <= files
    stages = {entry.stage: entry for entry in read_ledger(tmp_path)}
    assert stages.keys() == {"supernet", "predictor"}
    assert stages["supernet"].kwh is not None and stages["supernet"].kwh > 0 and stages["supernet"].device_seconds > 0
    assert stages["supernet"].kwh == pytest.approx(sum(stages["supernet"].parts.values()), abs=1e-8)
    assert "CodeCarbon" in stages["supernet"].basis and stages["supernet"].co2e_kg is None


@pytest.mark.slow
def test_one_network_and_its_int8_file(tmp_path: Path) -> None:
    subnet = "r8-w1-k5e3-k3e4"
    report = train(TrainRequest("quarters", recipe("plain", 6), tmp_path, threads=1, device="cpu", subnet=subnet))
    assert report is not None and (report["kind"], report["subnet"]) == ("plain", subnet)
    network, header = load_network(tmp_path / "network.npz")
    assert (header["subnet"], header["task"], network.graph.macs) == (subnet, "quarters", report["macs"])
    graph = read_tflite((tmp_path / "model.tflite").read_bytes())
    assert graph.structure.shapes[graph.structure.inputs[0]] == (1, 8, 8, 1) and graph.structure.macs == report["macs"]
    assert report["accuracy_int8"] > 0.6 and abs(report["accuracy_int8"] - report["accuracy_fp32"]) < 0.1
    assert {entry.stage for entry in read_ledger(tmp_path)} == {"plain", "quantize"}


def test_options_that_do_not_go_together(tmp_path: Path) -> None:
    for request, said in (
        (TrainRequest("quarters", recipe(), tmp_path, subnet=str(TINY.largest)), "--subnet names one network"),
        (TrainRequest("quarters", recipe("plain"), tmp_path, late_ticket=True), "--late-ticket is said of a ticket"),
        (TrainRequest("quarters", recipe("plain"), tmp_path, subnet="r9-w1-k3e2-k3e2"), "resolution 9 is none of"),
    ):
        with pytest.raises(UsageError, match=said):
            train(request)
    assert not list(tmp_path.iterdir())
