"""`ofa-mcu train`: a supernet for a task."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ofa_mcu.cli.common import DataDir, counting, say


def register(app: typer.Typer) -> None:
    """Add the verb."""

    @app.command()
    def train(
        task: Annotated[str, typer.Option(help="Task to learn.")] = "fashion-mnist",
        out: Annotated[Path, typer.Option(help="Folder of the run; an unfinished run there is resumed.")] = Path(
            "runs/train"
        ),
        epochs: Annotated[int, typer.Option(min=1, help="Passes over the training images.")] = 24,
        batch: Annotated[int, typer.Option(min=2, help="Images per step.")] = 128,
        rate: Annotated[float, typer.Option(min=0.0, help="Peak learning rate.")] = 0.1,
        students: Annotated[int, typer.Option(min=0, help="Random subnets per step, beside largest and smallest.")] = 3,
        seed: Annotated[int, typer.Option(min=0, help="Seed of weights, batches and sampling.")] = 0,
        predictor_subnets: Annotated[
            int, typer.Option(min=10, help="Subnets measured for the accuracy predictor.")
        ] = 300,
        data_dir: DataDir = None,
        threads: Annotated[int | None, typer.Option(min=1, help="Threads of torch (default: all cores).")] = None,
    ) -> None:
        """Train one supernet and its accuracy predictor.

        Killed at any time, the same command resumes it to the same result.
        """
        from ofa_mcu.search.labelling import train_predictor
        from ofa_mcu.supernet.shipped_files import PREDICTOR_FILE
        from ofa_mcu.tasks.registry import task_named
        from ofa_mcu.training.recipe import Recipe
        from ofa_mcu.training.supernet_run import train_supernet

        recipe = Recipe(epochs=epochs, batch=batch, peak_rate=rate, students=students, seed=seed)
        path = train_supernet(task, recipe, out, data_dir, threads)
        data = task_named(task, data_dir).load(data_dir)
        with counting("measuring subnets") as progress:
            predictor = train_predictor(path, data, out / PREDICTOR_FILE, predictor_subnets, seed, progress)
        q = predictor.quality
        say(
            f"predictor on {q.subnets} subnets, held out: Kendall {q.kendall:.3f} (MACs alone {q.kendall_macs:.3f}), "
            f"Spearman {q.spearman:.3f}, RMSE {q.rmse_points:.2f} points"
        )
        print(path)
