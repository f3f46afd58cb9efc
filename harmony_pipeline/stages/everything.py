"""Every stage in order, without Dagster: what `warm` compiles with, and what tests and notebooks run a whole market by."""

from harmony_pipeline.stages import backtests, gaps, ingest, instruments, market, models, promotion, research, robustness, scanner
from harmony_pipeline.stages.live import divergence, paper_session
from harmony_pipeline.stages.workspace import Workspace


def run_stages(work: Workspace, *, replay_days: int | None = None) -> None:
    """Bars to replayed sessions for every period of the market."""
    run_research(work)
    strategies = list(work.settings.active_strategies)
    backtests.backtest(work, strategies)
    backtests.parameter_sensitivity(work, strategies)
    robustness.monte_carlo(work, strategies)
    robustness.overfitting(work, strategies)
    robustness.regime_stability(work, strategies)
    promotion.decide(work)
    days = market.sessions_with_bars(work)
    scanner.scan(work, days[-work.settings.scanner.run_days :])
    count = work.settings.session.replay_days if replay_days is None else replay_days
    for day in days[-count:] if count else []:
        paper_session(work, [day], require_promoted=False, own_process=False)
        divergence(work, [day])


def run_research(work: Workspace) -> None:
    """Bars to out-of-sample predictions."""
    periods, retraining = work.trading_periods(), work.retraining_periods()
    market.corporate_actions(work)
    market.universe(work)
    market.listings(work)
    ingest.raw_bars(work, periods)
    market.bars(work, periods)
    market.daily_summary(work, periods)
    instruments.instruments(work)
    gaps.gaps(work, periods)
    research.features(work, periods)
    research.regimes(work, periods)
    research.signals(work, periods)
    research.labels(work, periods)
    models.train(work, retraining)
    models.predict(work, retraining)
