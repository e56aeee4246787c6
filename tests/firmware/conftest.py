"""Fixtures of this folder."""

from __future__ import annotations

from tests.devices.fixtures import image

__all__ = ["image"]
