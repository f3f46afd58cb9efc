"""The embargo beside a test period, counted in the bars of the market's own calendar.

An embargo of clock time is empty where it is needed: the 120 minutes before a Monday's midnight
hold no bar of a stock exchange. So the embargo is a number of regular bars. Training uses outcomes
that were settled by the start of the first of them, and nothing later (Lopez de Prado 2018, ch.
7.4.2).

    outcomes settled by here |bar|bar| night |bar|bar| weekend |bar|bar|  period begins
                             ^ embargo_start(..., bars=6)
"""

from datetime import UTC, datetime, timedelta

from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.market.expected_bars import find_slots
from harmony_pipeline.market.session_tables import FIRST_DATE, LAST_DATE

_EPOCH = datetime.fromtimestamp(0, UTC)


def embargo_start(calendar: Calendar, timeframe: str, moment: datetime, bars: int) -> datetime:
    """The start (UTC) of the earliest of the last `bars` regular bars that end by `moment`.

    Half-days, holidays and lunch breaks are those of the calendar, whether or not a symbol traded
    then. On a market that never closes it is `moment` less `bars` times the timeframe. 0 bars give
    `moment` itself. Where the calendar knows fewer bars before it, the start of the first known.
    """
    if bars == 0:
        return moment
    end = moment.date() + timedelta(days=2)
    days = 7 + 2 * -(-bars // calendar.bars_per_session(timeframe))
    while True:
        first = max(FIRST_DATE, moment.date() - timedelta(days=days))
        stamps = find_slots(calendar, timeframe, first, end, known_until=moment).stamp
        if len(stamps) >= bars or first == FIRST_DATE:
            break
        days *= 2
    if not len(stamps):
        return moment
    return _EPOCH + timedelta(microseconds=int(stamps[max(0, len(stamps) - bars)]))


def embargo_end(calendar: Calendar, timeframe: str, moment: datetime, bars: int) -> datetime:
    """The start (UTC) of the first regular bar that has `bars` regular bars between `moment` and
    itself.

    Bars count from the first that starts at or after `moment`. 0 bars give `moment` itself. Where
    the calendar knows fewer bars after it, the start of the last known.
    """
    if bars == 0:
        return moment
    first = moment.date() - timedelta(days=1)
    days = 9 + 2 * -(-bars // calendar.bars_per_session(timeframe))
    least = int(moment.timestamp() * 1e6)
    while True:
        end = min(LAST_DATE, moment.date() + timedelta(days=days))
        stamps = find_slots(calendar, timeframe, first, end).stamp
        later = stamps[stamps >= least]
        if len(later) > bars or end == LAST_DATE:
            break
        days *= 2
    if not len(later):
        return moment
    return _EPOCH + timedelta(microseconds=int(later[min(bars, len(later) - 1)]))
