"""Pictures are whole, say something about their data, and never fail for lack of it."""

import base64
import io
import struct
import subprocess
import sys
import zlib
from datetime import UTC, datetime
from itertools import pairwise

import polars as pl
import pytest
from reports import report_samples as samples

from harmony_pipeline import schemas
from harmony_pipeline.reports import figures
from harmony_pipeline.reports.cost_figures import spread_comparison
from harmony_pipeline.reports.style import (
    amount,
    canvas,
    data_uri,
    date_axis,
    label,
    labels_apart,
    money,
    money_axis,
    png,
    shortened,
    small_pictures,
)
from harmony_pipeline.robustness.sensitivity import stability


def pixels(picture: bytes) -> tuple[int, int, bytes]:
    """Width, height and raw pixel rows, read by the PNG specification."""
    assert picture[:8] == b"\x89PNG\r\n\x1a\n"
    at, data, size = 8, b"", (0, 0)
    while at < len(picture):
        length, kind = struct.unpack(">I4s", picture[at : at + 8])
        body = picture[at + 8 : at + 8 + length]
        assert (
            zlib.crc32(kind + body)
            == struct.unpack(">I", picture[at + 8 + length : at + 12 + length])[0]
        )
        if kind == b"IHDR":
            size = struct.unpack(">II", body[:8])
        elif kind == b"IDAT":
            data += body
        at += 12 + length
    return *size, zlib.decompress(data)


MONTE_CARLO = samples.monte_carlo()
NO_FAN = MONTE_CARLO.fan().filter((pl.col("scenario") == "none") & (pl.col("trade") == 0))

# name -> (picture of something, picture of something else, picture of nothing)
CASES = {
    "equity_curve": (
        lambda: figures.equity_curve(samples.equity(80), "a", samples.benchmark(80)),
        lambda: figures.equity_curve(samples.equity(80, seed=5), "a"),
        lambda: figures.equity_curve(schemas.EQUITY.empty(), "a"),
    ),
    "equity_comparison": (
        lambda: figures.equity_comparison(
            {"x": samples.equity(50), "y": samples.equity(50, seed=3)}
        ),
        lambda: figures.equity_comparison(
            {"x": samples.equity(50), "y": samples.equity(50, seed=4)}
        ),
        lambda: figures.equity_comparison({"x": schemas.EQUITY.empty()}),
    ),
    "trade_return_histogram": (
        lambda: figures.trade_return_histogram(samples.trades()),
        lambda: figures.trade_return_histogram(samples.trades(seed=3)),
        lambda: figures.trade_return_histogram(schemas.TRADES.empty()),
    ),
    "regime_bars": (
        lambda: figures.regime_bars(samples.regimes()),
        lambda: figures.regime_bars(samples.regimes().head(2)),
        lambda: figures.regime_bars(schemas.REGIME_STABILITY.empty()),
    ),
    "monte_carlo_fan": (
        lambda: figures.monte_carlo_fan(MONTE_CARLO.fan()),
        lambda: figures.monte_carlo_fan(MONTE_CARLO.fan(), scenario="missed"),
        lambda: figures.monte_carlo_fan(NO_FAN),
    ),
    "monte_carlo_outcomes": (
        lambda: figures.monte_carlo_outcomes(MONTE_CARLO.table, samples.CASH),
        lambda: figures.monte_carlo_outcomes(
            MONTE_CARLO.table.filter(pl.col("path") < 20), samples.CASH
        ),
        lambda: figures.monte_carlo_outcomes(schemas.MONTE_CARLO.empty(), samples.CASH),
    ),
    "sensitivity_heatmap": (
        lambda: figures.sensitivity_heatmap(stability(samples.trials()).table),
        lambda: figures.sensitivity_heatmap(stability(samples.trials().head(5)).table),
        lambda: figures.sensitivity_heatmap(stability(schemas.TRIALS.empty()).table),
    ),
    "fold_timeline": (
        lambda: figures.fold_timeline(samples.folds()),
        lambda: figures.fold_timeline(samples.folds(3)),
        lambda: figures.fold_timeline(schemas.FOLDS.empty()),
    ),
    "reliability_curve": (
        lambda: figures.reliability_curve(samples.reliability()),
        lambda: figures.reliability_curve(samples.reliability().head(1)),
        lambda: figures.reliability_curve(pl.DataFrame([])),
    ),
    "permutation_bars": (
        lambda: figures.permutation_bars(samples.importances([0.3, 0.1, -0.01]), 0.05),
        lambda: figures.permutation_bars(samples.importances([0.3, 0.1, -0.01]), 0.2),
        lambda: figures.permutation_bars(samples.importances([]), 0.0),
    ),
    "shap_summary": (
        lambda: figures.shap_summary(*samples.shap(1.0), ["a", "b"]),
        lambda: figures.shap_summary(*samples.shap(-1.0), ["a", "b"]),
        lambda: figures.shap_summary(*samples.shap(0.0), ["a", "b"]),
    ),
    "feature_importance": (
        lambda: figures.feature_importance(["a", "b"], [3.0, 1.0]),
        lambda: figures.feature_importance(
            [f"feature_{i}" for i in range(40)], [float(i) for i in range(40)]
        ),
        lambda: figures.feature_importance([], []),
    ),
    "scanner_table": (
        lambda: figures.scanner_table(samples.candidates()),
        lambda: figures.scanner_table(samples.candidates(2)),
        lambda: figures.scanner_table(schemas.SCAN_CANDIDATES.empty()),
    ),
    "trade_on_candles": (
        lambda: figures.trade_on_candles(samples.trade_view()),
        lambda: figures.trade_on_candles(samples.trade_view(seed=4)),
        lambda: figures.trade_on_candles(None),
    ),
}


@pytest.mark.parametrize("name", list(CASES))
def test_a_picture_is_a_whole_png_that_changes_with_its_data_and_with_nothing_else(name):
    some, other, nothing = (draw() for draw in CASES[name])
    assert CASES[name][0]() == some
    for picture in (some, other, nothing):
        width, height, rows = pixels(picture)
        assert width == 1190
        assert 250 < height < 2500
        assert len(set(rows)) > 20  # something was drawn
    assert len({some, other, nothing}) == 3
    assert len(nothing) < len(some)


def a_figure():
    figure, (upper, lower) = canvas("A title", "and more of it", ratios=(2.0, 1.0))
    days = pl.date_range(pl.date(2024, 1, 1), pl.date(2024, 3, 1), eager=True).to_numpy()
    upper.plot(days, range(len(days)))
    upper.set_ylabel("of a unit")
    label(upper, days[-1], 60.0, "the end", "#000000")
    lower.bar(days, range(0, 20_000 * len(days), 20_000))
    date_axis(upper.xaxis)
    money_axis(lower.yaxis)
    return figure


def test_a_picture_is_what_matplotlib_itself_would_save():
    def saved():
        figure, out = a_figure(), io.BytesIO()
        figure.savefig(out, format="png", facecolor="#ffffff", metadata={"Software": None})
        return out.getvalue()

    assert pixels(png(a_figure())) == pixels(saved())
    with small_pictures():
        assert pixels(png(a_figure())) == pixels(saved())


def test_every_public_picture_is_tried_here():
    assert set(figures.__all__) - {"as_markdown", "empty_figure", "image_link"} == set(CASES)


def test_pyplot_and_its_global_state_are_not_used():
    code = (
        "from harmony_pipeline.reports import figures; import sys;"
        " figures.feature_importance(['a'], [1.0]); sys.exit('matplotlib.pyplot' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def flat(equity: float, rows: int) -> pl.DataFrame:
    return samples.equity(rows).with_columns(equity=pl.lit(equity))


@pytest.mark.parametrize(
    "draw",
    [
        lambda: figures.equity_curve(samples.equity(1), "one bar"),
        lambda: figures.equity_curve(flat(100.0, 5), "nothing happened"),
        lambda: figures.equity_curve(flat(0.0, 5), "ruined"),
        lambda: figures.equity_comparison({"x": samples.equity(1)}),
        lambda: figures.trade_return_histogram(samples.trades(1)),
        lambda: figures.trade_return_histogram(
            samples.trades(5).with_columns(pl.lit(0.0).alias("return"))
        ),
        lambda: figures.trade_return_histogram(
            samples.trades(9).with_columns((pl.col("return").abs() + 0.001).alias("return"))
        ),
        lambda: figures.trade_return_histogram(
            samples.trades(9).with_columns((-pl.col("return").abs() - 0.001).alias("return"))
        ),
        lambda: figures.regime_bars(
            samples.regimes().with_columns(sharpe=pl.lit(None, dtype=pl.Float64))
        ),
        lambda: figures.regime_bars(samples.regimes().with_columns(sharpe=pl.lit(-4.0))),
        lambda: figures.monte_carlo_fan(samples.monte_carlo(1).fan()),
        lambda: figures.sensitivity_heatmap(stability(samples.trials().head(1)).table),
        lambda: figures.sensitivity_heatmap(
            stability(samples.trials().with_columns(sharpe=pl.lit(0.0))).table
        ),
        lambda: figures.sensitivity_heatmap(
            stability(samples.trials().filter(pl.col("parameters").str.contains('"fast": 5'))).table
        ),
        lambda: figures.fold_timeline(samples.folds(1)),
        lambda: figures.fold_timeline(samples.folds(60)),
        lambda: figures.feature_importance(["never used"], [0.0]),
        lambda: figures.scanner_table(
            samples.candidates().with_columns(gap=pl.lit(None, dtype=pl.Float64))
        ),
        lambda: figures.scanner_table(
            samples.candidates(1).with_columns(gap=pl.lit(0.0), absolute_gap=pl.lit(0.0))
        ),
        lambda: figures.equity_curve(
            samples.equity(9), "costs $5 and $6, <b>_{x}^ " + "long " * 40
        ),
    ],
)
def test_the_ugly_cases_are_drawn_without_a_warning(draw):
    pixels(draw())


def test_a_gap_trial_that_lacks_a_parameter_still_has_its_cell():
    trials = samples.trials()
    bare = trials.head(1).with_columns(trial_id=pl.lit("bare"), parameters=pl.lit('{"fast": 5}'))
    pixels(figures.sensitivity_heatmap(stability(pl.concat([trials, bare])).table))


def test_markdown_carries_the_picture_itself():
    picture = figures.empty_figure("t", "m")
    markdown = figures.as_markdown(picture, "a [b]\nc")
    assert markdown == f"![a (b) c]({data_uri(picture)})"
    assert base64.b64decode(markdown.split("base64,")[1].rstrip(")")) == picture


def test_numbers_are_written_short():
    assert [
        money(value) for value in (0.0, 0.25, 950.0, 12_500.0, 101_970.0, -3_000_000.0, 2e9)
    ] == ["0", "0.25", "950", "12.5k", "101.97k", "-3M", "2B"]
    assert [amount(value) for value in (950.0, 12_500.0, 463_190.0, 999_960.0, 1_234_567.0)] == [
        "950",
        "12.5k",
        "463k",
        "1M",
        "1.23M",
    ]
    assert shortened("abcdef", 4) == "abc…"


def test_labels_do_not_touch_and_keep_their_order():
    placed = labels_apart([1.0, 1.01, 5.0, 1.02], 0.5)
    ranked = sorted(placed)
    assert min(b - a for a, b in pairwise(ranked)) >= 0.5 - 1e-12
    assert placed[0] < placed[1] < placed[3] < placed[2]
    assert labels_apart([], 1.0) == []


def test_a_stamp_far_from_midnight_is_drawn_too():
    late = samples.equity(3).with_columns(
        timestamp=pl.Series(
            [datetime(2024, 3, 4, 23, minute, tzinfo=UTC) for minute in (0, 15, 30)],
            dtype=schemas.TIME,
        )
    )
    pixels(figures.equity_curve(late, "evening"))


def test_modelled_spreads_stand_beside_the_measured_one_or_the_page_says_that_there_is_none():
    measured = pl.DataFrame(
        {
            "symbol": ["AAA"] * 3 + ["BBB"],
            "bucket": [0, 30, 60, 0],
            "half_spread_bps": [4.0, 2.0, 1.5, 9.0],
        }
    )
    line = pl.DataFrame({"symbol": ["AAA"] * 2, "minute": [0, 60], "half_spread_bps": [3.0, 2.0]})
    drawn = spread_comparison(measured, {"a model": line}, "spreads")
    assert pixels(drawn)[2] != pixels(spread_comparison(measured, {}, "spreads"))[2]
    nothing = spread_comparison(measured.clear(), {}, "spreads")
    assert pixels(nothing)[1] < pixels(drawn)[1]
