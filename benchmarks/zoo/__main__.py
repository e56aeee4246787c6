"""Writes the models of the zoo into a folder: `python -m benchmarks.zoo FOLDER`."""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks.zoo import models

folder = Path(sys.argv[1])
folder.mkdir(parents=True, exist_ok=True)
for name, data in models().items():
    (folder / f"{name}.tflite").write_bytes(data)
    print(f"{name}: {len(data):,} bytes")
