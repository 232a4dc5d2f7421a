"""The journal: every step of every job, on disk before the next step."""
