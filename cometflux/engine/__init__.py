"""One job, from its slot to its outcome."""
