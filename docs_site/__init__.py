"""How the documentation site is made of `docs/`: links into the repository, pages of source files,
and the reference made of docstrings (`make docs`). Nothing here is installed with the library.
"""
