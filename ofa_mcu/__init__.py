"""One trained network, a firmware for every microcontroller."""

__version__ = "0.1.0"
