"""How raw rows arrive: what is missing, what is fetched piece by piece, what becomes a new version
of a row.
"""
