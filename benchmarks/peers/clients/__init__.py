"""One picture generated with each peer, as the peer's documentation shows it."""
