"""The one list of assets: what Dagster knows, what runs without it, and the order that both
share.
"""

import inspect

import dagster as dg

from assets.chain import chain, run_stages
from assets.definitions import build_definitions
from assets.groups import ASSETS, CHAIN, INGEST, JOBS, RETRAIN, TICKS
from harmony_pipeline.testing.tiny import tiny_market, tiny_settings


def test_dagster_has_these_assets_and_jobs_and_no_other(tmp_path):
    definitions = build_definitions(tiny_settings(tmp_path))
    assert {
        key.to_user_string() for key in definitions.resolve_asset_graph().get_all_asset_keys()
    } == set(ASSETS)
    jobs = {
        job.name
        for job in definitions.get_repository_def().get_all_jobs()
        if not job.name.startswith("__")
    }
    assert jobs == set(JOBS)


def test_each_asset_stands_once_and_after_what_it_is_made_from():
    listed = [asset.name for asset in (*TICKS, *(one for job in JOBS.values() for one in job.own))]
    assert listed == list(ASSETS)
    for place, name in enumerate(listed):
        assert set(ASSETS[name].inputs) <= set(listed[:place]), name


def test_the_ui_describes_an_asset_by_the_docstring_of_its_stage(tmp_path):
    graph = build_definitions(tiny_settings(tmp_path)).resolve_asset_graph()
    for name, asset in ASSETS.items():
        described = graph.get(dg.AssetKey(name)).description
        assert described == asset.description, name
        if asset.stage.__name__ == name:
            assert described == inspect.getdoc(asset.stage), name


def test_an_ingest_without_dagster_makes_every_asset_of_its_job(tmp_path):
    pipeline = tiny_market(tmp_path)
    results = run_stages(pipeline, last=INGEST)
    assert list(results) == list(INGEST.assets)
    assert all(pipeline.lake.partitions(name) for name in INGEST.assets)
    assert not pipeline.lake.partitions("features")


def test_the_chain_ends_after_the_ingest_when_there_is_no_bar(tmp_path):
    assert [step.job for step in chain(tiny_market(tmp_path))] == [INGEST]


def test_the_chain_covers_every_partition_but_only_the_latest_days(tmp_path):
    pipeline = tiny_market(tmp_path)
    run_stages(pipeline, last=INGEST)
    steps = {step.job.name: step.keys for step in chain(pipeline)}
    # no source of news is set
    assert list(steps) == [job.name for job in CHAIN if job.name != "news"]
    assert steps["research"] == [period.key for period in pipeline.trading_periods()]
    assert steps[RETRAIN.name] == [period.key for period in pipeline.retraining_periods()]
    assert steps["evaluate"] == list(pipeline.settings.active_strategies)
    assert steps["promote"] == []
    assert len(steps["daily_scan"]) == pipeline.settings.scanner.run_days
    assert len(steps["paper_session"]) == pipeline.settings.session.replay_days
    assert steps["paper_session"][-1] == steps["daily_scan"][-1]
