"""The kinds of columns, a table a subject."""
