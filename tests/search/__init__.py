"""Tests of the search: genome, front, choice, predictor, evolution, and what is said where nothing fits."""
