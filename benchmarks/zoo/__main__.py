"""Writes the models of the zoo into a folder: `python -m benchmarks.zoo FOLDER`."""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.zoo import models
from ofa_mcu.files import write_bytes

parser = argparse.ArgumentParser(prog="python -m benchmarks.zoo", description=__doc__)
parser.add_argument("folder", type=Path)
folder: Path = parser.parse_args().folder
folder.mkdir(parents=True, exist_ok=True)
for name, data in models().items():
    write_bytes(folder / f"{name}.tflite", data)
    print(f"{name}: {len(data):,} bytes")
