"""Bars and the clocks they live by: calendars, periods, sources, quality rules, corporate actions."""
