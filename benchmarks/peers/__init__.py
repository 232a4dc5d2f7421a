"""Compare cometflux with other clients in the same situations; run with ``make bench-peers``.

Each peer has its own environment under ``.make/peers/``, installed from the package index and kept. It is used as its
documentation shows, with defaults; only its address and a dummy key are set. A module here with a ``main`` is a
comparison, and a file in ``clients/`` calls one peer.
"""
