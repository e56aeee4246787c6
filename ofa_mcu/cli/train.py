"""`ofa-mcu train`: a supernet for a task."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the verb."""

    @app.command()
    def train(
        task: Annotated[str, typer.Option(help="Task to learn.")] = "fashion-mnist",
        out: Annotated[Path, typer.Option(help="Folder of the run; an unfinished run there is resumed.")] = Path(
            "runs/train"
        ),
        data_dir: Annotated[Path | None, typer.Option(help="Folder that holds the task's data.")] = None,
        epochs: Annotated[int, typer.Option(min=1, help="Passes over the training images.")] = 24,
        batch: Annotated[int, typer.Option(min=2, help="Images per step.")] = 128,
        rate: Annotated[float, typer.Option(min=0.0, help="Peak learning rate.")] = 0.1,
        students: Annotated[int, typer.Option(min=0, help="Random subnets per step, beside largest and smallest.")] = 3,
        seed: Annotated[int, typer.Option(help="Seed of weights, batches and sampling.")] = 0,
        threads: Annotated[int | None, typer.Option(min=1, help="Threads of torch (default: all cores).")] = None,
    ) -> None:
        """Train one supernet; killed at any time, the same command resumes it to the same result."""
        from ofa_mcu.training.recipe import Recipe
        from ofa_mcu.training.supernet_run import train_supernet

        recipe = Recipe(epochs=epochs, batch=batch, peak_rate=rate, students=students, seed=seed)
        print(train_supernet(task, recipe, out, data_dir, threads))
