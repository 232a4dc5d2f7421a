"""Sweeps: combinations of parameter values."""
