"""Version of each verb's JSON object: one number for its results and its errors alike (docs/json.md)."""

from __future__ import annotations

__all__ = [
    "BENCH",
    "BUILD",
    "CALIBRATE",
    "CARBON",
    "COMPILE",
    "CROSSCHECK",
    "ENERGY",
    "FARM",
    "FLASH",
    "FLEET",
    "INIT",
    "RESULTS",
    "SEARCH",
    "SPACE",
    "TRAIN",
    "VALIDATE",
]

SEARCH = 1
ENERGY = 1
FARM = 1
FLASH = 1
FLEET = 1
SPACE = 1
BUILD = 1
BENCH = 1
CROSSCHECK = 1
COMPILE = 1
VALIDATE = 1
TRAIN = 1
CARBON = 1
RESULTS = 1
INIT = 1
CALIBRATE = 1
