"""Bars and their clocks: calendars, periods, sources, quality rules,
corporate actions.
"""
