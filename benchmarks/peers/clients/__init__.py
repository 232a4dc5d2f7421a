"""How each peer buys one picture, in the words of its own documentation."""
