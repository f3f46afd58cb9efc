"""Which views need not be sorted for a query: those whose order nothing can see.

Every view is sorted by symbol and time, and DuckDB sorts even when the rows are only counted (12 million bars: 1.7 s instead of 0.01 s). So the plan of
the query is read: a sort is seen unless an aggregate that does not depend on the order of its input stands above it, with nothing in
between that does (a window, a limit). A view that can be replaced by its unsorted twin without one visible sort less is replaced.
"""

import json
import re
from collections.abc import Mapping
from typing import Any

import duckdb

_AGGREGATING = re.compile(r"\b(count|sum|avg|mean|min|max|median|quantile\w*|stddev\w*|variance|var_\w+|corr)\s*\(", re.IGNORECASE)
_BLIND = re.compile(r"^\"?(count|count_star|sum|sum_no_overflow|avg|min|max|median|quantile\w*|stddev\w*|variance|var_\w+|corr|bool_and|bool_or)\"?\(")
_TRANSPARENT = re.compile(r"PROJECTION|FILTER|JOIN|CROSS_PRODUCT|UNION|ORDER_BY")
_AGGREGATES = re.compile(r"GROUP_BY|AGGREGATE")


def drop_unseen_sorts(connection: duckdb.DuckDBPyConnection, text: str, parameters: list[object] | None, unsorted: Mapping[str, tuple[str, str]]) -> None:
    """Replace views whose order `text` cannot show; `unsorted` holds for each view its script without and with the sort."""
    if not _AGGREGATING.search(text):
        return
    seen = _seen_sorts(connection, text, parameters)
    for without, with_sort in unsorted.values():
        if seen is None:
            return
        connection.execute(without)
        if _seen_sorts(connection, text, parameters) != seen:
            connection.execute(with_sort)


def _seen_sorts(connection: duckdb.DuckDBPyConnection, text: str, parameters: list[object] | None) -> int | None:
    """How many sorts of the plan can be seen in the result; None when there is no plan to read."""
    try:
        relation = connection.sql(f"explain (format json) {text}", params=parameters) if parameters else connection.sql(f"explain (format json) {text}")
        rows = relation.fetchall() if relation is not None else []
        return sum(_count(node, hidden=False) for node in json.loads(rows[0][1])) if rows else None
    except (duckdb.Error, ValueError):
        return None


def _count(node: Mapping[str, Any], *, hidden: bool) -> int:
    name = str(node["name"])
    own = int("TOP_N" in name or (not hidden and "ORDER_BY" in name))  # a sort with a limit decides which rows there are
    if _AGGREGATES.search(name):
        listed = node.get("extra_info", {}).get("Aggregates", "")
        below = all(_BLIND.match(one) for one in ([listed] if isinstance(listed, str) else listed) if one)
    else:
        below = hidden and _TRANSPARENT.search(name) is not None
    return own + sum(_count(child, hidden=below) for child in node["children"])
