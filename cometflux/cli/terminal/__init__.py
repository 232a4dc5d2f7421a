"""The terminal: messages, progress bar, signals and streams."""
