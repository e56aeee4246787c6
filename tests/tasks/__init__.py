"""Tests of tasks: exact preprocessing, reading of data files, fetching them from a server on this machine."""
