"""Other clients beside cometflux: what each of them does in the same trouble; run with ``make bench-peers``.

Each peer has an environment of its own under ``.make/peers/``, made from the package index and kept. It is used as its
own documentation shows it, as it comes; only its address and a dummy key are given to it. What is asked of it is a
module here with a ``main``; how it is asked stands in ``clients/``, in a file for each.
"""
