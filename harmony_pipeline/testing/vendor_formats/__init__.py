"""Small folders of bars in the form of each vendor, for tests and to try."""
