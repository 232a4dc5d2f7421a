"""Settings from files and from the environment."""
