"""A model in the registry is whole, unchanged and what its id says; the promoted pointer survives
crashes.
"""

import contextlib
import json
import os
import shutil
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from harmony_pipeline.errors import DataError, NotReady
from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.market.periods import period_from_key
from harmony_pipeline.models.registry import MANIFEST, ModelRegistry
from harmony_pipeline.models.settings import ModelSettings
from harmony_pipeline.models.walk_forward import train_period
from harmony_pipeline.testing.forecaster_contract import planted_samples

CLOCK = Calendar.of("24/7")

NOW = datetime(2024, 7, 1, 12, tzinfo=UTC)
SAMPLES = planted_samples(3000, 1.0, per_day=8)
FEBRUARY = period_from_key("2023-02", "month", "America/New_York")


def trained_with(seed=11, forecaster="gradient_boosting:GradientBoosting"):
    settings = ModelSettings(forecaster=f"harmony_pipeline.models.{forecaster}", seed=seed)
    return train_period(SAMPLES, FEBRUARY, 8, CLOCK, "15Min", settings, "features").model


@pytest.fixture(scope="module")
def trained():
    return trained_with()


def saved_ids(registry: ModelRegistry) -> list[str]:
    """Ids of the models whose folders are whole."""
    return sorted(path.parent.name for path in registry.root.glob(f"[!.]*/{MANIFEST}"))


@pytest.mark.parametrize("forecaster", ["gradient_boosting:GradientBoosting", "logistic:Logistic"])
def test_a_loaded_model_predicts_the_same_bits(tmp_path, forecaster):
    model = trained_with(forecaster=forecaster)
    registry = ModelRegistry(tmp_path)
    registry.save(model)
    loaded = registry.load(model.model_id)
    assert loaded.model_id == model.model_id
    assert loaded.card == model.card
    assert np.array_equal(loaded.predict(SAMPLES), model.predict(SAMPLES))
    assert loaded.predict(SAMPLES.X[7:8])[0] == model.predict(SAMPLES)[7]


def test_models_are_listed_in_order(tmp_path, trained):
    registry = ModelRegistry(tmp_path)
    assert saved_ids(registry) == []
    other = trained_with(seed=12)
    for model in (trained, other):
        assert registry.save(model) == tmp_path / model.model_id
    assert saved_ids(registry) == sorted((trained.model_id, other.model_id))
    assert sorted(path.name for path in registry.path(trained.model_id).iterdir()) == [
        "card.json",
        "manifest.json",
        "model.txt",
    ]


def test_saving_again_changes_nothing(tmp_path, trained):
    registry = ModelRegistry(tmp_path)
    folder = registry.save(trained)
    before = {path: (path.stat().st_ino, path.read_bytes()) for path in folder.iterdir()}
    registry.save(trained)
    assert {path: (path.stat().st_ino, path.read_bytes()) for path in folder.iterdir()} == before


@pytest.mark.parametrize("crash_at", range(1, 8))
def test_a_crash_while_saving_leaves_no_model_and_the_next_try_works(
    tmp_path, trained, monkeypatch, crash_at
):
    """The process dies at the n-th flush or rename: nothing half-written can be seen."""
    registry = ModelRegistry(tmp_path)
    calls = 0

    def dying(real):
        def step(*arguments, **options):
            nonlocal calls
            calls += 1
            if calls == crash_at:
                raise KeyboardInterrupt
            return real(*arguments, **options)

        return step

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", dying(os.fsync))
        patched.setattr(os, "rename", dying(os.rename))
        # a killed process does not clean up after itself
        patched.setattr(shutil, "rmtree", lambda *_, **__: None)
        with contextlib.suppress(KeyboardInterrupt):
            registry.save(trained)
    assert saved_ids(registry) in ([], [trained.model_id])
    if saved_ids(registry):
        registry.load(trained.model_id)
    else:
        with pytest.raises(NotReady, match="there is no model"):
            registry.load(trained.model_id)
    registry.save(trained)
    assert saved_ids(registry) == [trained.model_id]
    assert registry.load(trained.model_id).card == trained.card


@pytest.mark.parametrize("name", ["model.txt", "card.json", "manifest.json"])
def test_a_changed_file_is_refused_and_repaired_by_saving_again(tmp_path, trained, name):
    registry = ModelRegistry(tmp_path)
    path = registry.save(trained) / name
    content = path.read_bytes()
    path.write_bytes(content.replace(b"1", b"2", 1))
    with pytest.raises(DataError, match="materialise the model again"):
        registry.load(trained.model_id)
    registry.save(trained)
    assert registry.load(trained.model_id).card == trained.card
    assert saved_ids(registry) == [trained.model_id]


def test_a_missing_file_is_refused(tmp_path, trained):
    registry = ModelRegistry(tmp_path)
    (registry.save(trained) / "model.txt").unlink()
    with pytest.raises(DataError, match="cannot be read"):
        registry.load(trained.model_id)


def test_a_model_under_another_name_is_refused_even_when_its_hashes_agree(tmp_path, trained):
    registry = ModelRegistry(tmp_path)
    registry.save(trained).rename(registry.path("gbm-h8-2023-02-00000000"))
    with pytest.raises(DataError, match="holds the model"):
        registry.load("gbm-h8-2023-02-00000000")


def test_a_pinned_artifact_that_was_exchanged_is_refused(tmp_path, trained):
    registry = ModelRegistry(tmp_path)
    registry.save(trained)
    pinned = registry.artifact_hash(trained.model_id)
    assert registry.load(trained.model_id, pinned).model_id == trained.model_id
    with pytest.raises(DataError, match="pinned was"):
        registry.load(trained.model_id, "0" * 32)


def test_the_promoted_pointer_keeps_its_history(tmp_path, trained):
    registry = ModelRegistry(tmp_path)
    assert registry.promoted() is None
    with pytest.raises(NotReady, match="no model has been promoted"):
        registry.load_promoted()
    other = trained_with(seed=12)
    for model in (trained, other):
        registry.save(model)
    registry.promote(trained.model_id, NOW)
    registry.promote(trained.model_id, NOW + timedelta(days=1))  # already there: nothing to write
    registry.promote(other.model_id, NOW + timedelta(days=2))
    assert registry.promoted() == other.model_id
    assert [(one.model_id, one.decided_at) for one in registry.history()] == [
        (trained.model_id, NOW),
        (other.model_id, NOW + timedelta(days=2)),
    ]
    assert registry.load_promoted().model_id == other.model_id
    # going back is a promotion like another
    registry.promote(trained.model_id, NOW + timedelta(days=3))
    assert registry.promoted() == trained.model_id
    assert json.loads((tmp_path / "promoted.json").read_text())["model_id"] == trained.model_id


def test_an_unknown_model_cannot_be_promoted(tmp_path):
    with pytest.raises(NotReady, match="there is no model ghost"):
        ModelRegistry(tmp_path).promote("ghost", NOW)


def test_a_crash_while_promoting_leaves_the_previous_champion(tmp_path, trained, monkeypatch):
    registry = ModelRegistry(tmp_path)
    other = trained_with(seed=12)
    for model in (trained, other):
        registry.save(model)
    registry.promote(trained.model_id, NOW)
    with monkeypatch.context() as patched:

        def dies(_descriptor):
            raise KeyboardInterrupt

        patched.setattr(os, "fsync", dies)
        with pytest.raises(KeyboardInterrupt):
            registry.promote(other.model_id, NOW)
    assert registry.promoted() == trained.model_id


def test_an_unreadable_pointer_is_an_error_not_an_absence(tmp_path, trained):
    registry = ModelRegistry(tmp_path)
    registry.save(trained)
    registry.promote(trained.model_id, NOW)
    (tmp_path / "promoted.json").write_text("{")
    with pytest.raises(DataError, match="not a promotion record"):
        registry.promoted()


def test_looking_back_reads_the_present_registry_and_writes_only_its_own(tmp_path, trained):
    present = ModelRegistry(tmp_path / "present")
    present.save(trained)
    present.promote(trained.model_id, NOW)
    before = ModelRegistry(tmp_path / "before", behind=present.root, until=NOW - timedelta(days=1))
    after = ModelRegistry(tmp_path / "after", behind=present.root, until=NOW)
    assert (before.promoted(), after.promoted()) == (None, trained.model_id)
    assert after.load_promoted().model_id == trained.model_id
    other = trained_with(seed=12)
    after.save(other)
    after.promote(other.model_id, NOW)
    assert after.promoted() == other.model_id
    assert present.promoted() == trained.model_id
    assert saved_ids(present) == [trained.model_id]
    assert before.promoted() is None
