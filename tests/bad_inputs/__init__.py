"""Bad inputs, one table per family: what is given, and what the user is to get for it."""
