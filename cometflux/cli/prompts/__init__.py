"""Read prompt files and arguments, and make a plan of them."""
