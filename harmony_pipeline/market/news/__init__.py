"""News: headlines from files or a simulation, judged row by row, each with the moment from which it
could be acted upon. What headlines are worth is no matter of this room (`models/headlines.py`).
"""
