"""One run of a batch: its journal, its progress and its summary."""
