"""What cometflux costs, beside a loop written by hand; run with ``make bench``.

Every figure is a ratio within one run, on the machine at hand: client and server have a core each, both sides take
turns, and the median of the pairs counts.
"""
