"""Energy of a running stage, by CodeCarbon without a network."""

from __future__ import annotations

import logging
import time
import warnings
from types import TracebackType

__all__ = ["EnergyMeter"]

_TICK = 20.0  # seconds between readings
_PARTS = ("cpu", "gpu", "memory")


class EnergyMeter:
    """Accumulates kWh of CPU, GPU and memory; readings come from RAPL/NVML where the machine lets them be read.

    Elsewhere CodeCarbon's load-based estimate stands in; `basis` says which it is.
    """

    def __init__(self, done: dict[str, float] | None = None) -> None:
        self._done = dict.fromkeys(_PARTS, 0.0) | (done or {})
        self._since = 0.0
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from codecarbon import OfflineEmissionsTracker

            # its import sets a level of its own, and its constructor talks before it minds log_level
            logging.getLogger("codecarbon").setLevel(logging.CRITICAL)
            # the country only turns kWh into CO2e, which is not used here
            self._tracker = OfflineEmissionsTracker(
                country_iso_code="USA", save_to_file=False, log_level="critical", allow_multiple_runs=True
            )

    def __enter__(self) -> EnergyMeter:
        self._tracker.start_task()
        self._since = time.monotonic()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._read()
        self._tracker.stop()

    def _read(self) -> None:
        reading = self._tracker.stop_task()
        for part, kwh in zip(_PARTS, (reading.cpu_energy, reading.gpu_energy, reading.ram_energy), strict=True):
            self._done[part] += kwh

    def parts(self, now: bool = False) -> dict[str, float]:
        """Energy so far in kWh, earlier parts of a resumed run included; read every 20 s at most, or `now`."""
        if now or time.monotonic() - self._since > _TICK:
            self._read()
            self._tracker.start_task()
            self._since = time.monotonic()
        return dict(self._done)

    def kwh(self, now: bool = False) -> float:
        """Sum of the parts."""
        return sum(self.parts(now).values())

    @property
    def basis(self) -> str:
        """Where the figures come from, in words."""
        words = []
        for hardware in self._tracker._hardware:
            kind, mode = type(hardware).__name__, str(getattr(hardware, "_mode", ""))
            if kind == "GPU":
                words.append("GPU: NVML")
            elif kind == "CPU":
                words.append("CPU: RAPL" if "rapl" in mode else "CPU: estimated from load and nominal power")
            else:
                words.append("memory: estimated from its size")
        return "; ".join(sorted(words)) + " (CodeCarbon, offline)"
