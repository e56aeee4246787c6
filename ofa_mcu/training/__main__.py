"""Training alone, for several processes or machines: torchrun --nproc-per-node 2 -m -- ofa_mcu.training …

Every hyperparameter of the recipe is an option. `ofa-mcu train` with the same options then adds what it adds, without
training again; `torchrun … -m -- ofa_mcu train …` does both.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import fields
from pathlib import Path

from ofa_mcu.errors import OfaMcuError
from ofa_mcu.training.plain_run import PlainRun, train_plain, train_ticket
from ofa_mcu.training.ranks import joined
from ofa_mcu.training.recipe import METHODS, Recipe
from ofa_mcu.training.supernet_run import train_supernet

_NAMES = {"peak_rate": "rate", "stop_tau": "stop-ranking"}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="ofa_mcu.training", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--task", default="fashion-mnist")
    parser.add_argument("--out", type=Path, default=Path("runs/train"))
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"))
    parser.add_argument("--space", type=Path, help="file of a space, instead of the task's own")
    parser.add_argument("--start", type=Path, help="supernet file to begin with")
    parser.add_argument("--subnet", help="network of --method plain or --early-bird (default: the largest)")
    parser.add_argument("--early-bird", type=float, metavar="PERCENT", help="train an early-bird ticket")
    parser.add_argument("--late-ticket", action="store_true", help="draw the ticket at the end of the recipe")
    for field in fields(Recipe):
        name = "--" + _NAMES.get(field.name, field.name).replace("_", "-")
        if isinstance(field.default, bool):
            parser.add_argument(name, dest=field.name, default=field.default, action=argparse.BooleanOptionalAction)
        elif field.name == "method":
            parser.add_argument(name, dest=field.name, default=field.default, choices=METHODS)
        else:
            kind = int if isinstance(field.default, int) else float
            parser.add_argument(name, dest=field.name, default=field.default, type=kind)
    return parser


def main() -> None:
    """Train what the options say; the path of the result goes to stdout."""
    options = _parser().parse_args()
    recipe = Recipe(**{field.name: getattr(options, field.name) for field in fields(Recipe)})
    with joined(options.device) as ranks:
        if options.early_bird is None and recipe.method != "plain":
            train_supernet(
                options.task,
                recipe,
                options.out,
                options.data_dir,
                options.threads,
                ranks,
                options.space,
                options.start,
            )
        else:
            run = PlainRun(options.task, options.subnet, options.data_dir, options.space)
            if options.early_bird is None:
                train_plain(run, recipe, options.out, options.threads, ranks)
            else:
                share, late = options.early_bird, options.late_ticket
                train_ticket(run, recipe, options.out, options.threads, share, late, ranks)
    if ranks.first:
        print(options.out)


if __name__ == "__main__":
    try:
        main()
    except OfaMcuError as error:
        print(f"ofa_mcu.training: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
