"""How an image was made: the record next to it and inside it."""
