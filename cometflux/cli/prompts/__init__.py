"""Prompt files and arguments, made into a plan."""
