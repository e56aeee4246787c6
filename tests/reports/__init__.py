"""Figures, explanations, plots and pages of compiled models."""
