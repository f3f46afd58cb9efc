#!/bin/sh
# duckdb 2.0.0, ASOF JOIN of trades with quotes, two quotes at each microsecond (as feeds send a burst of changes).
# Guess: a trade gets the last of the quotes of its moment in the file's order, as in polars' join_asof; or any of them, but always the same.
# Seen: with 63 trades each gets the first quote of the pair, with 64 the last: below asof_loop_join_threshold (64 rows) another plan runs, whose ties
# go the other way. The same trade has another quote when more trades are asked for.
# Why it matters: a query that was checked on one symbol or one minute has other spreads and signs of trades on the whole day. A second key that tells the
# quotes apart, or one quote a moment, makes it one answer.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check 'duckdb==2.0.0' 'polars==2.1.0' 'pyarrow==26.0.1'
"$work/venv/bin/python" - "$work" <<'PY'
import sys

import duckdb
import polars as pl

MOMENTS = 200
stamps = pl.Series([moment for moment in range(MOMENTS) for _ in range(2)], dtype=pl.Int64).cast(pl.Datetime("us"))
quotes = pl.DataFrame({"t": stamps, "first": [True, False] * MOMENTS})
quotes.write_parquet(f"{sys.argv[1]}/quotes.parquet")
QUERY = """select trades.t, quotes.first from '{0}/trades.parquet' as trades
    asof join '{0}/quotes.parquet' as quotes on trades.t >= quotes.t order by trades.t"""


def share_of_first(count, threshold=None):
    """Join `count` trades; return how many get the first quote of their moment: by duckdb, by polars."""
    trades = pl.DataFrame({"t": pl.Series(range(count), dtype=pl.Int64).cast(pl.Datetime("us"))})
    trades.write_parquet(f"{sys.argv[1]}/trades.parquet")
    with duckdb.connect() as connection:
        if threshold is not None:
            connection.execute(f"set asof_loop_join_threshold = {threshold}")
        joined = connection.sql(QUERY.format(sys.argv[1])).fetchall()
    assert len(joined) == count
    return sum(first for _, first in joined), int(trades.join_asof(quotes, on="t")["first"].sum())


for count in (1, 63, 64, 200):
    by_duckdb, by_polars = share_of_first(count)
    print(f"{count} trades: {by_duckdb} get the first of their two quotes by duckdb, {by_polars} by polars")
    assert by_duckdb == (count if count < 64 else 0) and by_polars == 0
assert share_of_first(63, threshold=0)[0] == 0 and share_of_first(64, threshold=1000)[0] == 64
PY
