"""A scanner in SQL: `scanner.query` reads the table `candidates` and returns symbol and score.

    select symbol, relative_volume as score from candidates
    where gap > 0.04 and float < 2e7 and price between 2 and 20

The query runs once a day on that day's measures. Its connection has no access to files or to the
lake, so a query cannot look ahead. The score determines order and ranks. Ties go to the earlier
symbol.
"""

from typing import TYPE_CHECKING

import polars as pl

from harmony_pipeline.errors import ConfigError
from harmony_pipeline.scanner.base import Scanner
from harmony_pipeline.scanner.rules import not_listed, rejections
from harmony_pipeline.scanner.settings import ScannerSettings

if TYPE_CHECKING:
    import duckdb

_ISOLATED: dict[str, str | bool | int | float | list[str]] = {
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "enable_external_access": False,
    "threads": 1,
}


class QueryScanner(Scanner):
    """Selects the listed symbols that the query returns.

    Raises ConfigError when the query is absent or cannot be used.
    """

    def __init__(self, settings: ScannerSettings) -> None:
        if not (settings.query or "").strip():
            raise ConfigError(
                "scanner.query is empty, but scanner.use is the SQL scanner: write a select of"
                " symbol and score from candidates"
            )
        super().__init__(settings)

    def judge(self, measures: pl.DataFrame) -> pl.DataFrame:
        """See Scanner."""
        import duckdb

        with duckdb.connect(config=_ISOLATED) as connection:
            answers = [
                self._answer(connection, day)
                for day in measures.partition_by("date", maintain_order=True)
            ]
        answer = (
            pl.concat(answers)
            if answers
            else pl.DataFrame(schema={"date": pl.Date, "symbol": pl.String, "score": pl.Float64})
        )
        scored = measures.join(
            answer.with_columns(returned=pl.lit(value=True)),
            on=["date", "symbol"],
            how="left",
            maintain_order="left",
        )
        return scored.with_columns(
            rejections({"not_listed": not_listed(), "query": pl.col("returned").is_null()})
        ).drop("returned")

    def _answer(
        self, connection: "duckdb.DuckDBPyConnection", candidates: pl.DataFrame
    ) -> pl.DataFrame:
        """date, symbol and score of one day's query."""
        import duckdb

        connection.register("candidates", candidates)
        try:
            found = connection.sql(self.settings.query or "")
            answer: pl.DataFrame | None = None if found is None else found.pl()
        except duckdb.Error as error:
            raise ConfigError(
                f"scanner.query cannot be run: {str(error).splitlines()[0]}"
            ) from error
        if answer is None or not {"symbol", "score"} <= set(answer.columns):
            names = "nothing" if answer is None else ", ".join(answer.columns)
            raise ConfigError(
                f"scanner.query returns {names}, expected the columns symbol and score: select"
                " symbol, ... as score from candidates"
            )
        try:
            answer = answer.select(
                pl.lit(candidates["date"][0]).alias("date"),
                pl.col("symbol").cast(pl.String),
                pl.col("score").cast(pl.Float64),
            )
        except pl.exceptions.PolarsError as error:
            raise ConfigError(
                "scanner.query returns a score that is no number: cast it to double"
            ) from error
        _check(answer, candidates)
        return answer


def _check(answer: pl.DataFrame, candidates: pl.DataFrame) -> None:
    day = candidates["date"][0]
    twice = answer.filter(pl.col("symbol").is_duplicated())
    if twice.height:
        raise ConfigError(
            f"scanner.query returns {twice['symbol'][0]} more than once for {day}: group by symbol"
        )
    strange = answer.join(candidates, on="symbol", how="anti")
    if strange.height:
        raise ConfigError(
            f"scanner.query returns '{strange['symbol'][0]}' for {day}, which is no symbol of"
            " candidates: select symbols from that table"
        )
