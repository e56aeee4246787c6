"""`ofa-mcu train`: a supernet for a task, or one network."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ofa_mcu import schemas
from ofa_mcu.cli.common import (
    JSON,
    DataDir,
    Scheduler,
    Workers,
    cluster_of,
    counting,
    emit,
    failing_as_json,
    say,
)


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command()(train)


def train(
    task: Annotated[str, typer.Option(help="Task to learn.")] = "fashion-mnist",
    out: Annotated[Path, typer.Option(help="Folder of the run; an unfinished run there is resumed.")] = Path(
        "runs/train"
    ),
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the training examples.")] = 24,
    batch: Annotated[int, typer.Option(min=2, help="Examples per step.")] = 128,
    rate: Annotated[float, typer.Option(min=0.0, help="Peak learning rate.")] = 0.1,
    weight_decay: Annotated[float, typer.Option(min=0.0, help="Decay of the weights of layers.")] = 3e-5,
    students: Annotated[int, typer.Option(min=0, help="Random subnets per step, beside largest and smallest.")] = 3,
    method: Annotated[
        str, typer.Option(help="sandwich, progressive (OFA's shrinking) or plain (one network).")
    ] = "sandwich",
    subnet: Annotated[str | None, typer.Option(help="The network of --method plain or --early-bird.")] = None,
    warmup: Annotated[bool, typer.Option(help="Train the largest network alone at first.")] = True,
    distillation: Annotated[bool, typer.Option(help="Smaller networks learn from the largest.")] = True,
    stop_ranking: Annotated[
        float | None, typer.Option(min=0, max=1, help="End once the ranking of subnets settled at this Kendall tau.")
    ] = None,
    early_bird: Annotated[
        float | None, typer.Option(metavar="P", help="Train one network without its P per cent least channels.")
    ] = None,
    late_ticket: Annotated[bool, typer.Option(help="Drop them at the end instead, to see what early saves.")] = False,
    seed: Annotated[int, typer.Option(min=0, help="Seed of weights, batches and sampling.")] = 0,
    space: Annotated[Path | None, typer.Option(help="Space of ofa-mcu space, instead of the task's own.")] = None,
    start: Annotated[Path | None, typer.Option(help="Supernet file to begin with, e.g. of a shorter run.")] = None,
    predictor_subnets: Annotated[int, typer.Option(min=10, help="Subnets measured for the accuracy predictor.")] = 300,
    workers: Workers = None,
    scheduler: Scheduler = None,
    data_dir: DataDir = None,
    threads: Annotated[int | None, typer.Option(min=1, help="Threads of torch (default: all cores).")] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda, or auto: cuda where there is a device.")] = "auto",
    as_json: JSON = False,
) -> None:
    """Train one supernet and its accuracy predictor, or one network alone.

    Killed at any time, the same command resumes it to the same result. Under torchrun several processes train together:
    torchrun --nproc-per-node 2 -m -- ofa_mcu train … . --workers and --scheduler spread what comes after training: the
    subnets that are measured for the predictor.
    """
    with failing_as_json(as_json, schemas.TRAIN):
        from ofa_mcu.files import check_folder
        from ofa_mcu.search.training import TrainRequest
        from ofa_mcu.search.training import train as run
        from ofa_mcu.training.recipe import Recipe

        check_folder(out, "--out")
        recipe = Recipe(
            epochs=epochs,
            batch=batch,
            peak_rate=rate,
            weight_decay=weight_decay,
            students=students,
            seed=seed,
            method=method,
            warmup=warmup,
            distillation=distillation,
            stop_tau=stop_ranking,
        )
        request = TrainRequest(
            task,
            recipe,
            out,
            data_dir,
            threads,
            device,
            subnet,
            early_bird,
            late_ticket,
            predictor_subnets,
            space,
            start,
            cluster_of(workers, scheduler),
        )
        with counting("measuring subnets") as progress:
            report = run(request, progress)
    if report is None:
        return
    if as_json:
        emit(report)
    else:
        _tell(report)
        print(report["file"])


def _tell(report: dict[str, Any]) -> None:
    if report["kind"] == "supernet":
        q = report["predictor"]
        say(
            f"predictor on {q['subnets']} subnets, held out: Kendall {q['kendall']:.3f} "
            f"(MACs alone {q['kendall_macs']:.3f}), Spearman {q['spearman']:.3f}, RMSE {q['rmse_points']:.2f} points"
        )
        return
    ticket = report.get("ticket")
    if ticket is not None:
        say(
            f"ticket after {ticket['epochs_dense']:g} epochs, {ticket['epochs_saved']:g} fewer than the whole recipe "
            f"(about {ticket['kwh_saved_estimated']:.5f} kWh): {ticket['macs_before']} -> {ticket['macs']} MACs"
        )
    say(
        f"{report['subnet']}: {100 * report['accuracy_int8']:.2f} % int8 and {100 * report['accuracy_fp32']:.2f} % "
        f"fp32 on test examples, {report['macs']} MACs, {report['parameters']} parameters"
    )
