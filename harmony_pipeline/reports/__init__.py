"""Figures and tear sheets for people who would rather look than read."""
