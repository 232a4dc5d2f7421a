"""The cost of cometflux compared with a loop written by hand; run with ``make bench``.

Every figure is a ratio measured in one run on one machine. The client and the server have a core each, the two
contenders take turns, and the result is the median of the pairs.
"""
