"""Many jobs at once, and the way in."""
