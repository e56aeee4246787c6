"""Energy of a running stage, by CodeCarbon without a network."""

from __future__ import annotations

import logging
import time
import warnings
from types import TracebackType

__all__ = ["EnergyMeter"]

_TICK = 20.0  # seconds between readings


class EnergyMeter:
    """Accumulates kWh of CPU, GPU and memory; readings come from RAPL/NVML where the machine lets them be read.

    Elsewhere CodeCarbon's load-based estimate stands in; `basis` says that it is one.
    """

    basis = "CodeCarbon, offline: counters where readable, else estimated from load and constants"

    def __init__(self, kwh: float = 0.0) -> None:
        self._done, self._since = kwh, 0.0
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
        self._done += self._tracker.stop_task().energy_consumed
        self._tracker.stop()

    def kwh(self) -> float:
        """Energy so far, earlier parts of a resumed run included; read at most every 20 s."""
        if time.monotonic() - self._since > _TICK:
            self._done += self._tracker.stop_task().energy_consumed
            self._tracker.start_task()
            self._since = time.monotonic()
        return self._done
