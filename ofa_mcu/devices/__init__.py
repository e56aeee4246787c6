"""Firmware on a board or its emulated twin: project, build, flash, serial link, measurement, and the tools they need.

Every failure of a device, a tool or a cable is a `DeviceError` of one sentence; nothing waits without an end.
"""
