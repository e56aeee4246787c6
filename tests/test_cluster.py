"""Several worker processes, some of which are killed: results are complete and those of one process."""

from __future__ import annotations

import json
import os
import signal
import socket
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ofa_mcu import cluster
from ofa_mcu.cluster import Cluster, arrivals, mapped
from ofa_mcu.devices.farm import BoardJob, held_boards, measure_boards
from ofa_mcu.devices.trial import Trial
from ofa_mcu.errors import DeviceError, InfeasibleError, OfaMcuError, UsageError
from ofa_mcu.ledger import read_ledger
from ofa_mcu.profiles import load_profile
from ofa_mcu.profiles.profile import BoardProfile
from ofa_mcu.search.cluster_work import Origin, labelled
from ofa_mcu.search.fleet import FleetRequest, fleet, made_up_fleet
from ofa_mcu.search.labelling import train_predictor
from ofa_mcu.search.training import TrainRequest, train
from ofa_mcu.supernet.store import load_supernet
from ofa_mcu.tasks.registry import task_named
from ofa_mcu.training.recipe import Recipe
from tests.cli.verbs import run
from tests.search.made_up_source import TASK, write_pictures, write_supernet
from tests.space.spaces import TINY

HIDDEN = "127.0.0.1:0"
CLOCK = {"seconds", "evaluations_per_second", "run"}


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    with Cluster(2).client() as client:
        yield client


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `supernet` and `pictures`."""
    folder = tmp_path_factory.mktemp("source")
    write_supernet(folder / "supernet")
    write_pictures(folder / "pictures")
    return folder


def squared(number: int) -> tuple[int, int]:
    return number**2, os.getpid()


def squared_at_the_second_try(work: tuple[int, Path]) -> int:
    """The first process to try it dies."""
    number, marker = work
    if not marker.exists():
        marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return number**2


def deadly(_: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def refused(number: int) -> int:
    if number == 2:
        raise InfeasibleError("nothing fits", {"constraint": "sram", "needed": number})
    return number


@pytest.mark.slow
def occupied(board: str) -> tuple[str, float, float]:
    began = time.monotonic()
    time.sleep(0.05)
    return board, began, time.monotonic()


def test_results_come_in_the_order_of_the_items(client: Any) -> None:
    steps: list[tuple[int, int]] = []
    found = mapped(client, squared, range(20), report=lambda *at: steps.append(at))
    assert [square for square, _ in found] == [number**2 for number in range(20)]
    assert os.getpid() not in {pid for _, pid in found}
    assert steps == [(number, 20) for number in range(1, 21)]
    assert mapped(client, squared, []) == []


def test_what_a_task_raises_is_raised_here(client: Any) -> None:
    with pytest.raises(InfeasibleError, match=r"^nothing fits$") as caught:
        mapped(client, refused, range(4))
    assert caught.value.details == {"constraint": "sram", "needed": 2} and caught.value.exit_code == 3


def test_a_killed_worker_loses_nothing(client: Any, tmp_path: Path) -> None:
    work = [(number, tmp_path / f"{number % 4}") for number in range(12)]
    for marker in ("1", "2", "3"):
        (tmp_path / marker).touch()
    assert mapped(client, squared_at_the_second_try, work) == [number**2 for number in range(12)]
    assert (tmp_path / "0").exists()


@pytest.mark.slow
def test_a_task_that_kills_every_worker_is_given_up() -> None:
    import dask
    import distributed  # noqa: F401  # brings the settings that are changed here

    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 0}),
        Cluster(1).client() as client,
        pytest.raises(OfaMcuError, match="ended every worker that tried it, the last at tcp://127.0.0.1:"),
    ):
        mapped(client, deadly, [0])


@pytest.mark.slow
def test_one_task_at_a_time_has_a_board(tmp_path: Path) -> None:
    """In a cluster of others' making, whose worker runs four tasks at a time."""
    from distributed import LocalCluster

    held = {"board:one": 1, "board:two": 1}
    with (
        LocalCluster(n_workers=1, threads_per_worker=4, dashboard_address=HIDDEN, resources=held) as own,
        Cluster(scheduler=own.scheduler_address).client() as client,
    ):
        boards = ["one", "two", "one", "one", "two", "one"]
        found = mapped(client, occupied, boards, [{f"board:{board}": 1} for board in boards])
        assert [board for board, _, _ in found] == boards
        for name in ("one", "two"):
            times = sorted((began, ended) for board, began, ended in found if board == name)
            assert all(ended <= began for (_, ended), (began, _) in pairwise(times))
        # the worker that holds the board dies, and holds it again when it is back
        assert mapped(client, squared_at_the_second_try, [(3, tmp_path / "tried")], [{"board:one": 1}]) == [9]
        assert (tmp_path / "tried").exists()
        with pytest.raises(OfaMcuError, match=r"no worker of tcp://\S+ holds board:three=1; start one .*--resources"):
            mapped(client, occupied, ["three"], [{"board:three": 1}])


def test_schedulers_that_are_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Any) -> None:
    monkeypatch.setattr(cluster, "_ANSWER_SECONDS", 0.5)
    for address in ("nonsense", "tcp://host", "tcp://host:99999", "http://host:8786"):
        assert run("fleet", "--scheduler", address, "--out", tmp_path / "fleet") == 2
        assert f"--scheduler '{address}' is no address" in capsys.readouterr().err
    assert run("fleet", "--scheduler", "tcp://a:1", "--workers", "2", "--out", tmp_path / "fleet") == 2
    assert run("train", "--scheduler", "tcp://127.0.0.1:1", "--out", tmp_path / "train") == 1
    assert "no Dask scheduler answers at tcp://127.0.0.1:1" in capsys.readouterr().err
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        address = f"tcp://127.0.0.1:{silent.getsockname()[1]}"
        assert run("fleet", "--scheduler", address, "--out", tmp_path / "fleet", "--json") == 1
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "error"
    assert not list(tmp_path.iterdir())
    with pytest.raises(UsageError, match="one network has none"):
        train(TrainRequest(TASK, Recipe(method="plain"), tmp_path, cluster=Cluster(1)))


def test_a_scheduler_without_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    from distributed import LocalCluster

    monkeypatch.setattr(cluster, "_ANSWER_SECONDS", 0.5)
    with (
        LocalCluster(n_workers=0, dashboard_address=HIDDEN) as own,
        pytest.raises(OfaMcuError, match=r"has no workers; start some: dask worker tcp://"),
        Cluster(scheduler=own.scheduler_address).client(),
    ):
        pass


def test_workers_of_another_version_are_refused(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "__version__", "0.0.1")
    with (
        pytest.raises(OfaMcuError, match=r"has ofa-mcu \S+ and this is 0.0.1; install the same"),
        Cluster(scheduler=client.scheduler.address).client(),
    ):
        pass


def test_two_jobs_with_one_run_are_refused(client: Any, tmp_path: Path) -> None:
    jobs = [BoardJob(tmp_path, board) for board in ("one", "two")]
    assert held_boards([*jobs, jobs[0]]) == [{"board:one": 1}, {"board:two": 1}]
    with pytest.raises(UsageError, match="two jobs measure .*; give each a run of its own"):
        measure_boards(jobs, client)
    with pytest.raises(DeviceError, match=r"no worker of tcp://\S+ holds board:one"):
        measure_boards(jobs[:1], client)


@pytest.mark.slow
def test_a_board_that_two_workers_claim_is_not_measured(tmp_path: Path) -> None:
    job = BoardJob(tmp_path, "one")
    with (
        Cluster(2, resources=[job.needs] * 2).client() as client,
        pytest.raises(DeviceError, match=r"2 workers of tcp://\S+ hold board:one; .* with --nworkers 1"),
    ):
        measure_boards([job], client)


@pytest.mark.slow
def test_labels_are_those_of_one_process_though_a_worker_is_killed(client: Any, source: Path, tmp_path: Path) -> None:
    path, pictures = source / "supernet" / "supernet.npz", source / "pictures"
    data = task_named(TASK, pictures).load(pictures)
    alone = train_predictor(path, data, tmp_path / "alone" / "predictor.json", 40)
    origin = Origin.of(TASK, path, pictures, data)
    partial = tmp_path / "together" / "labels.partial.json"
    asked: list[int] = []
    victims = list(client.run(os.getpid).values())

    def label(subnets: Any) -> Iterator[Any]:
        asked.append(len(subnets))
        for number, pair in enumerate(labelled(client, origin, subnets)):
            yield pair
            if number == 4 and victims:
                os.kill(victims.pop(), signal.SIGKILL)
            if number == 25 and len(asked) == 1:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_predictor(path, data, partial.with_name("predictor.json"), 40, label=label)
    kept = len(json.loads(partial.read_text())["labels"])
    together = train_predictor(path, data, partial.with_name("predictor.json"), 40, label=label)
    assert kept == 20 and asked == [40, 20] and not partial.exists()
    assert np.array_equal(together.weights, alone.weights) and together.quality == alone.quality
    written = [(tmp_path / name / "predictor.json").read_bytes() for name in ("alone", "together")]
    assert written[0] == written[1]


@pytest.mark.slow
def test_workers_with_another_supernet_or_other_data_are_refused(client: Any, source: Path, tmp_path: Path) -> None:
    path, pictures = source / "supernet" / "supernet.npz", source / "pictures"
    other = write_pictures(tmp_path / "other", 100)
    data = task_named(TASK, other).load(other)
    wrong = Origin.of(TASK, path, other, data)
    for origin, said in (
        (Origin(TASK, path, pictures, wrong.supernet_digest, wrong.data_digest), "has other data of task"),
        (Origin(TASK, path, pictures, "0", wrong.data_digest), "is another supernet on a worker than here"),
    ):
        with pytest.raises(OfaMcuError, match=said):
            list(labelled(client, origin, [load_supernet(path)[0].space.smallest]))


def boards_of(folder: Path) -> dict[BoardProfile, Path | None]:
    """Three boards of two cores and one on which nothing fits."""
    text = (Path(__file__).parents[1] / "boards" / "stm32f103.toml").read_text()
    path = folder / "tiny_board.toml"
    path.write_text(text.replace("ram_bytes = 20_480", "ram_bytes = 1_024").replace('"stm32f103"', '"tiny_board"', 1))
    return {
        **{load_profile(name): None for name in ("stm32f746", "stm32h743", "rp2040")},
        load_profile(str(path)): path,
    }


def without_clock(value: Any) -> Any:
    """JSON without what a clock said, and where."""
    if isinstance(value, dict):
        return {key: without_clock(part) for key, part in value.items() if key not in CLOCK}
    return [without_clock(part) for part in value] if isinstance(value, list) else value


def files_of(folder: Path) -> dict[str, Any]:
    """Content of all files below a folder, JSON without clocks."""
    found: dict[str, Any] = {}
    for path in folder.rglob("*"):
        if path.is_file() and path.name != "ledger.json":
            data = path.read_bytes()
            found[str(path.relative_to(folder))] = (
                without_clock(json.loads(data)) if path.suffix == ".json" and b'"seconds"' in data else data
            )
    return found


@pytest.mark.slow
def test_a_fleet_is_that_of_one_process_though_a_worker_is_killed(client: Any, source: Path, tmp_path: Path) -> None:
    request = FleetRequest(boards_of(tmp_path), TASK, source / "supernet", data_dir=source / "pictures")
    alone = fleet(request, tmp_path / "alone")
    victims = list(client.run(os.getpid).values())

    def killing(text: str) -> None:
        if victims and "board 2" in text:
            os.kill(victims.pop(), signal.SIGKILL)
            victims.clear()

    together = fleet(request, tmp_path / "together", show=killing, client=client)
    assert not victims and [row["feasible"] for row in together["boards"]] == [True, True, True, False]
    assert without_clock(together) == without_clock(alone)
    assert files_of(tmp_path / "together") == files_of(tmp_path / "alone")
    assert len(files_of(tmp_path / "together")) >= 3 * 4
    entries = [entry for board in ("stm32f746", "rp2040") for entry in read_ledger(tmp_path / "together" / board)]
    assert [entry.stage for entry in entries] == ["search", "search"]
    assert all(entry.device_seconds > 0 and entry.kwh is None and "cluster" in entry.basis for entry in entries)

    synthetic = [made_up_fleet(request, 30, client=who) for who in (None, client)]
    assert without_clock(synthetic[0]) == without_clock(synthetic[1])


@pytest.mark.slow
def test_a_fleet_that_fails_leaves_no_task_behind(client: Any, source: Path, tmp_path: Path) -> None:
    request = FleetRequest(boards_of(tmp_path), TASK, source / "supernet", data_dir=source / "pictures")
    (tmp_path / "fleet" / "rp2040" / ".lock").mkdir(parents=True)  # where a file is to be
    (tmp_path / "fleet" / "rp2040" / "report.json").write_text("{}")
    with pytest.raises(OfaMcuError, match="cannot write to"):
        fleet(request, tmp_path / "fleet", client=client)

    def interrupted(text: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fleet(request, tmp_path / "fleet", show=interrupted, client=client)
    while any(client.processing().values()):
        time.sleep(0.05)
    assert mapped(client, squared, [3])[0][0] == 9


@pytest.mark.slow
def test_training_labels_with_workers(source: Path, tmp_path: Path) -> None:
    space = tmp_path / "space.json"
    space.write_text(json.dumps(TINY.to_json()))
    recipe = Recipe(epochs=1, batch=32, peak_rate=0.05, students=1)
    common: dict[str, Any] = {
        "data_dir": source / "pictures",
        "threads": 1,
        "device": "cpu",
        "predictor_subnets": 12,
        "space_file": space,
    }
    alone = train(TrainRequest(TASK, recipe, tmp_path / "run", **common))
    written = (tmp_path / "run" / "predictor.json").read_bytes()
    (tmp_path / "run" / "predictor.json").unlink()
    together = train(TrainRequest(TASK, recipe, tmp_path / "run", **common, cluster=Cluster(2)))
    assert together == alone and (tmp_path / "run" / "predictor.json").read_bytes() == written
    entry = read_ledger(tmp_path / "run")[-1]
    assert entry.stage == "predictor" and entry.device_seconds > 0 and entry.kwh is None


@pytest.mark.slow
def test_boards_are_measured_where_they_are(source: Path, tmp_path: Path) -> None:
    """A twin, and a board that nobody plugged in: what is wrong with one does not stop the other."""
    pictures = source / "pictures"
    request = FleetRequest({load_profile("stm32f746"): None}, TASK, source / "supernet", data_dir=pictures)
    fleet(request, tmp_path / "one")
    fleet(request, tmp_path / "two")
    jobs = [
        BoardJob(tmp_path / "one" / "stm32f746", "twin", images=5, data_dir=pictures),
        BoardJob(tmp_path / "two" / "stm32f746", "lost", "/dev/ttyLost", images=5, data_dir=pictures),
    ]
    with Cluster(2, resources=held_boards(jobs)).client() as client:
        trial, error = (outcome.result for outcome in measure_boards(jobs, client))
    assert isinstance(trial, Trial) and trial.measurement.differing_bytes == 0 and trial.measurement.images == 5
    assert json.loads((jobs[0].run / "bench.json").read_text()) == trial.to_json()
    assert isinstance(error, DeviceError) and "/dev/ttyLost" in str(error)


def test_what_nobody_waits_for_is_cancelled(client: Any) -> None:
    for number, result in arrivals(client, squared, range(50)):
        assert result[0] == number**2
        break
    assert mapped(client, squared, [4])[0][0] == 16
