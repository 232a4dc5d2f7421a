"""Prompt templates, filled from the columns of a row."""
