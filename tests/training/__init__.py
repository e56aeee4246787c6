"""Tests of training: batches, recipe, calibration, and runs that are killed and go on; on a task made up at once."""
