"""How the lake keeps its files: places (a folder, an object store), locks, history, writing and reading.

Belongs here: files, their footers and their versions. Does not belong here: what a table means, which is `schemas.py`, and the one face that the rest of
the house uses, which is `lake.py`.
"""
