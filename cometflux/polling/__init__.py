"""When to poll: a schedule learned from completion times."""
