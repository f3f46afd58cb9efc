"""A market with news from its headlines to a replayed session: scores that know no future, leaks that
are caught, a session that serves what research made, and refusals in one line.
"""

from datetime import UTC, datetime

import numpy as np
import polars as pl
import pytest

from harmony_pipeline.config import Settings
from harmony_pipeline.errors import ConfigError, NotReady
from harmony_pipeline.features.compute import compute_features
from harmony_pipeline.features.news_columns import NewsTotals
from harmony_pipeline.lake import sql
from harmony_pipeline.models.headlines import headline_outcomes, learn_words, score_headlines
from harmony_pipeline.robustness.look_ahead import KnownTable, truncation_differences
from harmony_pipeline.session.clock import ReplayClock
from harmony_pipeline.session.day_backtest import backtest_day
from harmony_pipeline.session.ledger import Ledger
from harmony_pipeline.session.live_signals import LiveSignals, feature_frame
from harmony_pipeline.session.replay import day_bars, replay_day
from harmony_pipeline.session.stream import ReplayStream
from harmony_pipeline.stages import (
    data_checks,
    ingest,
    look_ahead_checks,
    market,
    news,
    research,
    session_runs,
)
from harmony_pipeline.stages.context import PipelineContext
from harmony_pipeline.stages.models import training_recipe
from harmony_pipeline.stages.session_plans import plan_of
from harmony_pipeline.stages.trials import configuration
from harmony_pipeline.strategies.settings import StrategySettings
from harmony_pipeline.testing.tiny import tiny_settings

NAMES = ("news_sentiment_10", "news_count_5", "bars_since_news")
IDENTITY = ("symbol", "known_at", "published_at", "headline")


class Readers:
    """With the news."""

    def required_features(self) -> tuple[str, ...]:
        return ("news_sentiment_10",)

    def signals(self, features: pl.DataFrame) -> pl.DataFrame:
        known = features.filter(pl.col("news_sentiment_10").is_not_null())
        side = pl.col("news_sentiment_10").sign()
        return known.select("symbol", "timestamp", side=side.cast(pl.Int8), strength=0.5).sort(
            "symbol", "timestamp"
        )


def settings_of(folder, **chosen):
    settings = tiny_settings(folder)
    own = settings.news.model_dump() | {
        "source": "simulated",
        "minimum_headlines": 40,
        "minimum_word_headlines": 3,
        "simulated": {"headlines_per_year": 220.0, "informative": 0.9},
    }
    values = settings.model_dump() | {
        "news": own | chosen,
        "features": settings.features.model_dump() | {"names": ["log_return", *NAMES]},
        "strategies": {
            "readers": StrategySettings(use=f"{__name__}:Readers", exits="signal").model_dump()
        },
        "session": settings.session.model_dump() | {"strategy": "readers", "watch": "universe"},
        "file": settings.file,
    }
    return Settings.model_validate(values)


@pytest.fixture(scope="module")
def spoken(tmp_path_factory):
    pipeline = PipelineContext(settings_of(tmp_path_factory.mktemp("spoken")))
    periods = pipeline.trading_periods()
    market.corporate_actions(pipeline)
    ingest.raw_bars(pipeline, periods)
    for stage in (
        market.bars,
        market.daily_summary,
        news.news,
        news.news_scores,
        research.features,
        research.regimes,
        research.signals,
    ):
        stage(pipeline, periods)
    return pipeline


def test_headlines_are_read_once_and_scored_by_words_that_were_learned_before(spoken):
    lake, periods = spoken.lake, spoken.trading_periods()
    headlines, scores = lake.read("news"), lake.read("news_scores")
    assert headlines.height > 200
    assert scores.select(IDENTITY).equals(headlines.select(IDENTITY).sort(IDENTITY))
    first, *later = (scores.filter(period=key.key) for key in spoken.retraining_periods())
    assert first["score"].null_count() == first.height, "nothing was settled before it"
    assert all(each["score"].null_count() == 0 for each in later)
    words = lake.read("news_words").filter(period=periods[-1].key)
    weight = dict(words.select("word", "weight").iter_rows())
    assert weight["beats estimates"] > 0.0 > weight["misses estimates"]
    settled = words["settled_by"].unique().item()
    assert settled <= spoken.retraining_periods()[-1].start


def test_an_unchanged_market_is_not_read_into_the_lake_again(spoken):
    periods = spoken.trading_periods()
    before = {key: spoken.lake.manifest("news", key) for key in spoken.lake.partitions("news")}
    result = news.news(spoken, periods)
    assert result.facts["new headlines"] == 0
    assert before == {key: spoken.lake.manifest("news", key) for key in before}
    assert news.news_scores(spoken, periods).unchanged_since is not None
    assert research.features(spoken, periods).unchanged_since is not None


def test_the_features_are_in_the_lake_and_the_checks_pass(spoken):
    periods = spoken.trading_periods()
    features = spoken.lake.read("features")
    assert features["news_count_5"].max() >= 1.0
    assert features["news_sentiment_10"].abs().max() > 0.05
    assert data_checks.features_fold(spoken, periods).is_empty()
    assert look_ahead_checks.features_know_no_future(spoken, periods).is_empty()
    for period in periods:
        assert look_ahead_checks.news_scores_know_no_future(spoken, [period]).is_empty()


def test_periods_made_one_by_one_are_one_fold_over_all(spoken):
    whole = compute_features(
        spoken.lake.read("bars"), spoken.feature_set, None, spoken.calendar, spoken.timeframe,
        news.news_totals(spoken),
    ).table  # fmt: skip
    kept = spoken.lake.read("features")
    assert kept.select(whole.columns).equals(whole)


def tables_of(pipeline):
    keys = [period.key for period in pipeline.trading_periods()]
    return {
        "news": KnownTable(pipeline.lake.read("news", keys), pl.col("known_at")),
        "bars": KnownTable(pipeline.lake.read("bars", keys), pl.col("timestamp") + pipeline.bar),
    }


def some_moments(pipeline):
    stamps = pipeline.lake.read("news")["known_at"].unique().sort()
    return [stamps[len(stamps) // 2], stamps[3 * len(stamps) // 4]]


def test_words_that_were_fitted_to_the_whole_series_are_caught(spoken):
    settings = spoken.settings.news

    def leaking(tables):
        found = headline_outcomes(
            tables["news"], tables["bars"], spoken.calendar, spoken.timeframe, settings.horizon_bars
        )
        latest = found["settled_at"].max()
        words = learn_words(found, settings, latest)
        return found.with_columns(score_headlines(found, words))

    found = truncation_differences(
        leaking, tables_of(spoken), pl.col("known_at"), some_moments(spoken), IDENTITY
    )
    assert found.height > 20
    assert set(found["finding"]) >= {"score of what was known then depends on later rows"} or any(
        "score" in finding for finding in found["finding"]
    )


def test_headlines_that_are_dated_back_to_midnight_are_caught(spoken):
    def leaking(tables):
        early = pl.col("known_at").dt.truncate("1d")
        totals = NewsTotals.of(tables["news"].select("symbol", known_at=early, score=pl.lit(0.5)))
        return compute_features(
            tables["bars"], spoken.feature_set, None, spoken.calendar, spoken.timeframe, totals
        ).table

    ended = pl.col("timestamp") + spoken.bar
    found = truncation_differences(leaking, tables_of(spoken), ended, some_moments(spoken))
    assert found.height
    assert all("news" in finding for finding in found["finding"])


def test_a_score_of_other_words_than_the_lakes_is_caught(spoken, tmp_path):
    """The stored scores themselves are compared, not only how they would be made."""
    changed = settings_of(spoken.settings.folder, minimum_word_headlines=6)
    other = PipelineContext(changed.model_copy(update={"file": spoken.settings.file}))
    found = look_ahead_checks.news_scores_know_no_future(other, other.trading_periods()[-1:])
    assert found.height
    assert "not the one that its words give" in found["finding"][0]


def test_the_session_serves_the_features_of_research_and_trades_as_its_backtest(spoken, tmp_path):
    day = spoken.sessions()[-2]
    ledger = Ledger(tmp_path / "ledger.sqlite")
    plan, bars = plan_of(spoken, ledger, day, "paper")
    frame = day_bars(plan, bars)
    signals = LiveSignals(plan)
    served = []
    for batch in ReplayStream(frame, ReplayClock(frame["timestamp"].min())).moments():
        served.append(feature_frame(batch.bars, signals._fold(batch.bars), plan.feature_set.names))
    made = spoken.lake.read("features").join(frame, on=["symbol", "timestamp"], how="semi")
    served = pl.concat(served).sort("symbol", "timestamp")
    assert served.select(made.columns).equals(made)
    assert made["news_count_5"].max() >= 1.0
    twin, result = backtest_day(plan, bars), replay_day(plan, bars, ledger)
    columns = ["symbol", "timestamp", "side", "quantity", "price"]
    assert twin.fills.height
    assert result.fills.select(columns).equals(twin.fills.select(columns))
    assert plan.hash != plan_of(without_last_headline(spoken), ledger, day, "paper")[0].hash


def without_last_headline(pipeline):
    """The same pipeline with one headline of the day fewer in its totals."""

    class Fewer(PipelineContext):
        pass

    other = Fewer(pipeline.settings)
    scores = other.lake.read("news_scores")
    kept = scores.filter(pl.col("known_at") != scores["known_at"].min())
    lake = other.lake
    scan = lake.scan
    object.__setattr__(
        lake,
        "scan",
        lambda name, *keys: kept.lazy() if name == "news_scores" else scan(name, *keys),
    )
    return other


def test_a_live_session_is_refused_in_one_line(spoken, tmp_path):
    settings = spoken.settings
    session = settings.session.model_copy(update={"broker": "alpaca"})
    other = PipelineContext(settings.model_copy(update={"session": session}))
    plan, bars = plan_of(other, Ledger(tmp_path / "l.sqlite"), spoken.sessions()[-2], "paper")
    with pytest.raises(ConfigError, match="no stream of headlines") as refusal:
        session_runs._run(other, plan, bars, Ledger(tmp_path / "l.sqlite"))
    assert "\n" not in str(refusal.value)


def test_sql_shows_news_as_they_were_known(spoken):
    moment = some_moments(spoken)[0]
    rows = sql.query(
        spoken.lake,
        "select count(*) as n from news join news_scores using (symbol, known_at, published_at,"
        f" headline) where known_at <= timestamptz '{moment.isoformat()}'",
    )
    assert rows["n"][0] == (spoken.lake.read("news")["known_at"] <= moment).sum()


def test_features_of_news_without_news_are_refused_with_the_cure(tmp_path):
    pipeline = PipelineContext(settings_of(tmp_path, source="off"))
    assert news.news(pipeline, pipeline.trading_periods()).nothing == news.NO_NEWS
    assert news.news_scores(pipeline, pipeline.trading_periods()).nothing == news.NO_NEWS
    with pytest.raises(ConfigError, match=r'news_sentiment_10.*news.source is "off"'):
        news.news_totals(pipeline)
    with pytest.raises(NotReady, match="backfill news_scores"):
        news.news_totals(PipelineContext(settings_of(tmp_path)))


def test_news_of_a_simulated_market_need_it(tmp_path):
    values = settings_of(tmp_path).model_dump()
    values["market"] |= {
        "source": "files",
        "files": values["market"]["files"] | {"paths": ["x.csv"]},
    }
    pipeline = PipelineContext(Settings.model_validate(values))
    with pytest.raises(ConfigError, match=r'market\.source is "files"'):
        news.news(pipeline, pipeline.trading_periods())


def test_words_are_learned_alike_from_rows_in_any_order(spoken):
    settings = spoken.settings.news
    tables = tables_of(spoken)
    found = headline_outcomes(
        tables["news"].frame, tables["bars"].frame, spoken.calendar, spoken.timeframe, 6
    )
    until = found["settled_at"].max()
    one, other = (
        learn_words(rows, settings, until)
        for rows in (found, found.sample(fraction=1.0, shuffle=True, seed=4))
    )
    assert one == other
    assert learn_words(found, settings, found["settled_at"].min()) is None
    scores = score_headlines(found, one).to_numpy()
    agrees = np.sign(scores) == np.sign(found["outcome"].fill_null(0.0).to_numpy())
    assert agrees.mean() > 0.6


def test_the_rules_of_news_are_part_of_a_recipe_only_where_features_read_them(spoken, tmp_path):
    def recipes(pipeline):
        return configuration(pipeline, "readers"), training_recipe(pipeline, 4)

    def with_news(pipeline, names, **chosen):
        settings = pipeline.settings
        features = settings.features.model_copy(update={"names": names})
        news_settings = settings.news.model_copy(update=chosen)
        return PipelineContext(
            settings.model_copy(update={"news": news_settings, "features": features})
        )

    for names, same in (((*NAMES, "log_return"), False), (("log_return",), True)):
        one, other = (recipes(with_news(spoken, names, horizon_bars=bars))[1] for bars in (6, 12))
        assert (one == other) is same
    one, other = (recipes(with_news(spoken, NAMES, horizon_bars=bars))[0] for bars in (6, 12))
    assert one != other


def test_files_are_read_like_bars_and_strangers_are_named(spoken, tmp_path):
    """The market of the module with news from a folder in place of the simulated ones."""
    symbol = spoken.lake.read("bars")["symbol"][0]
    folder = tmp_path / "news"
    folder.mkdir()
    (folder / "a.csv").write_text(
        "symbol,time,headline\n"
        f"{symbol},2024-01-05T14:31:00Z,{symbol} beats estimates\n"
        "ZZZZ,2024-01-05T14:31:00Z,Nobody trades it\n"
        f"{symbol},then,Broken\n"
        f"{symbol},{datetime.now(UTC).year + 2}-01-05T14:31:00Z,Not yet\n"
    )
    settings = settings_of(tmp_path, source="files", paths=("news",))
    pipeline = PipelineContext(settings)
    market_bars = spoken.lake.read("bars", ["2024-01"])
    pipeline.lake.write("bars", "2024-01", market_bars, {})
    result = news.news(pipeline, pipeline.trading_periods())
    assert result.facts["new headlines"] == 2
    assert result.facts["quarantined by unreadable_row"] == 1
    assert any("without bars: 'ZZZZ'" in note for note in result.notes)
    assert pipeline.lake.read("news", ["2024-01"]).height == 2
    assert not any("without a time of day" in note for note in result.notes)
    # a row whose time cannot be read, or lies in no period, stands in the last one
    assert pipeline.lake.read("news_quarantine", ["2024-03"])["row"].to_list() == [4, 5]
    (folder / "b.jsonl").write_text(
        f'{{"ticker": "{symbol}", "published": "2024-02-05T10:00:00Z", "title": "More of it"}}\n'
    )
    again = news.news(pipeline, pipeline.trading_periods())
    assert again.facts["new headlines"] == 1
    assert again.facts["files"] == 2
