"""Tests of the int8 graph: arithmetic, reference, file format, comparison with other interpreters.

`strategies` draws the random graphs that other packages' tests use too.
"""
