"""Tests mirror the packages; they use real files, real interpreters and real tools."""
