"""Tests of the board profiles."""
