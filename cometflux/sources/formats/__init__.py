"""Prompt files by format: text, CSV, YAML, Arrow and Parquet."""
