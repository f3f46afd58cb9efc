"""The files of a deployment, as far as they can be held against their specifications without a
container engine.
"""

import json
import re
import subprocess
import sys
import tomllib
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
import yaml

from harmony_pipeline.cli.service import SERVICES
from harmony_pipeline.config import load_settings
from harmony_pipeline.errors import ConfigError

REPOSITORY = Path(__file__).resolve().parents[2]
COMPOSE = yaml.safe_load((REPOSITORY / "compose.yaml").read_text())
PROFILES = ("dev", "paper", "live")
# what a person must say, or may; everything else has a default
ENVIRONMENT = {
    "PROFILE": "paper",
    "POSTGRES_PASSWORD": "x",
    "REDIS_PASSWORD": "x",
    "HARMONY_MONITOR_TOKEN": "x",
}


def test_compose_follows_its_specification():
    jsonschema = pytest.importorskip("jsonschema")
    pytest.importorskip("check_jsonschema", reason="brings the schema of the specification")
    schema = json.loads(
        resources.files("check_jsonschema")
        .joinpath("builtin_schemas/vendor/compose-spec.json")
        .read_text()
    )
    validator = jsonschema.validators.validator_for(schema)(schema)
    assert [error.message for error in validator.iter_errors(COMPOSE)] == []
    broken = {**COMPOSE, "services": {"web": {"image": "x", "restarts": "always"}}}
    assert list(validator.iter_errors(broken))


def own_services() -> dict[str, dict[str, Any]]:
    return {name: one for name, one in COMPOSE["services"].items() if "build" in one}


def test_every_service_of_harmony_is_there_and_starts_what_it_is_called():
    found = own_services()
    assert set(found) == {*SERVICES, "monitor"}
    for name, service in found.items():
        assert service["environment"]["SERVICE"] == name
        assert service["command"][:2] in (["service", name], ["monitor", "--host"])


@pytest.mark.parametrize("name", COMPOSE["services"])
def test_a_service_restarts_rotates_its_log_may_nothing_and_says_whether_it_is_well(name):
    service = COMPOSE["services"][name]
    assert service["restart"] == "unless-stopped"
    assert service["logging"]["options"] == {"max-size": "10m", "max-file": "5"}
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    if "build" in service:  # the image's HEALTHCHECK and USER
        assert not {"user", "healthcheck", "privileged"} & set(service)
    else:
        assert service["healthcheck"]["test"]
        assert ":" in service["image"]
        assert not service["image"].endswith(":latest")
        assert "user" in service or name == "minio"
    for port in service.get("ports", ()):
        assert port.startswith("127.0.0.1:")


def test_each_named_volume_and_each_service_waited_for_exists():
    services, volumes = COMPOSE["services"], set(COMPOSE["volumes"])
    for service in services.values():
        assert set(service.get("depends_on", {})) <= set(services)
        for volume in service.get("volumes", ()):
            source = volume.split(":")[0]
            assert source in volumes or (REPOSITORY / source).exists()


def substituted(text: str, environment: dict[str, str]) -> str:
    """Compose's variables, as its specification replaces them; a wanted one that is absent fails."""

    def value(found: re.Match[str]) -> str:
        name, kind, rest = found[1], found[2] or "", found[3] or ""
        if environment.get(name):
            return environment[name]
        assert not kind.endswith("?"), f"{name}: {rest}"
        return rest

    once = re.sub(r"\$\{(\w+)(:[-?])?((?:[^{}]|\$\{\w+\})*)\}", value, text)
    return once if once == text else substituted(once, environment)


@pytest.mark.parametrize("profile", PROFILES)
def test_every_service_reads_the_same_settings(profile, monkeypatch):
    given = {**ENVIRONMENT, "PROFILE": profile, "LIVE_ACCOUNT": "123456789"}
    read = {}
    for name, service in own_services().items():
        values = {
            key: substituted(str(value), given)
            for key, value in service["environment"].items()
            if value is not None
        }
        file = REPOSITORY / values["HARMONY_CONFIG"].replace("/config/", "deploy/")
        loaded = load_settings(file, values)
        assert loaded.notes == ()
        read[name] = loaded.model_dump_json()
        assert loaded.paths.lake == f"/data/{profile}/lake"
        assert values["DAGSTER_HOME"] == f"{loaded.paths.state}/dagster"
        databases = (REPOSITORY / "deploy" / "databases.sql").read_text()
        for url in (loaded.session.ledger, loaded.dagster.storage):
            assert f"create database {url.rsplit('/', 1)[1]};" in databases
    assert len(set(read.values())) == 1


def test_profiles_differ_only_where_they_must():
    files = {
        name: tomllib.loads((REPOSITORY / "deploy" / f"{name}.toml").read_text())
        for name in PROFILES
    }
    dev, paper, live = files.values()
    assert live == {**paper, "alpaca": {"live": True, "trading_url": "https://api.alpaca.markets"}}
    assert {key: dev[key] for key in ("paths", "dagster")} == {
        key: paper[key] for key in ("paths", "dagster")
    }
    assert {**dev["session"], "broker": "alpaca"} == paper["session"]
    bars = ("source", "symbols", "start", "end", "simulated", "alpaca")
    assert {key: value for key, value in dev["market"].items() if key not in bars} == {
        key: value for key, value in paper["market"].items() if key not in bars
    }


def test_real_money_needs_the_account_from_outside_and_the_switch_in_the_file():
    file = REPOSITORY / "deploy" / "live.toml"
    with pytest.raises(ConfigError, match=r"alpaca\.live_account"):
        load_settings(file, {"PROFILE": "live"})
    environment = {"PROFILE": "live", "HARMONY__ALPACA__LIVE_ACCOUNT": "123456789"}
    assert load_settings(file, environment).alpaca.is_live_address
    switched_off = {**environment, "HARMONY__ALPACA__LIVE": "false"}
    with pytest.raises(ConfigError, match=r"alpaca\.live = true"):
        load_settings(file, switched_off)
    for name in ("dev", "paper"):
        assert not load_settings(
            REPOSITORY / "deploy" / f"{name}.toml", environment | {"PROFILE": name}
        ).alpaca.is_live_address


def test_the_example_environment_names_what_compose_wants():
    text = (REPOSITORY / ".env.example").read_text()
    told = set(re.findall(r"^#? ?([A-Z_]+)=", text, re.MULTILINE))
    asked = set(re.findall(r"\$\{([A-Z_]+)", (REPOSITORY / "compose.yaml").read_text()))
    passed_on = {
        name
        for service in own_services().values()
        for name, value in service["environment"].items()
        if value is None
    }
    assert (asked | passed_on) - {"HARMONY_IMAGE"} <= told
    assert told <= asked | passed_on | {"COMPOSE_PROFILES"}
    # no secret has a default, and none is in the file
    assert not re.search(r"^(?!#)\w*(PASSWORD|KEY|TOKEN|SECRET)\w*=.+", text, re.MULTILINE)


def pinned(file: Path) -> dict[tuple[str, str], frozenset[str]]:
    """By name and version, the hashes of a lock."""
    found: dict[tuple[str, str], set[str]] = {}
    for block in re.split(r"\n(?=[a-z0-9])", file.read_text()):
        head = re.match(r"([\w.-]+)(?:\[.*\])?==([^\s;]+)", block)
        if head:
            hashes = re.findall(r"sha256:\w{64}", block)
            found.setdefault((head[1], head[2]), set()).update(hashes)
    return {key: frozenset(hashes) for key, hashes in found.items()}


def test_the_image_installs_a_part_of_the_tested_lock_and_nothing_else():
    whole = pinned(REPOSITORY / "requirements.lock")
    part = pinned(REPOSITORY / "deploy" / "requirements.lock")
    assert len(part) > 100
    assert all(hashes and whole[key] == hashes for key, hashes in part.items())
    names = {name for name, _version in part}
    assert {"dagster-celery", "dagster-postgres", "psycopg", "psycopg2-binary", "redis"} <= names
    assert not {"pytest", "mypy", "moto"} & names


def test_the_image_is_built_in_stages_from_hashes_and_runs_as_nobody_special():
    lines = (REPOSITORY / "Dockerfile").read_text()
    assert len(re.findall(r"^FROM python:\$\{PYTHON\}", lines, re.MULTILINE)) == 2
    assert "--require-hashes" in lines
    assert "--no-deps" in lines
    user, kernels = lines.index("\nUSER 10001:10001"), lines.index("compile_kernels")
    assert user < kernels
    assert "\nHEALTHCHECK " in lines
    allowed = (REPOSITORY / ".dockerignore").read_text().splitlines()
    copied = [line for line in allowed if line.startswith("!")]
    assert all((REPOSITORY / line[1:]).exists() for line in copied)
    assert "!.env" not in allowed
    for folder in ("assets", "resources", "harmony_pipeline", "sql", "deploy", "workspace.yaml"):
        assert f"!{folder}" in copied


@pytest.mark.parametrize(
    ("environment", "code"),
    [
        ({"SERVICE": "web", "PORT": "1"}, 1),
        ({"SERVICE": "code", "PORT": "1"}, 1),
        ({"SERVICE": "worker", "WORKER_BEAT": "/nowhere"}, 1),
        ({"SERVICE": "daemon", "WORKER_BEAT": "/nowhere"}, 1),
        ({}, 0),
    ],
)
def test_health_is_asked_of_the_service(environment, code):
    program = str(REPOSITORY / "deploy" / "health.py")
    found = subprocess.run([sys.executable, program], check=False, env=environment)
    assert found.returncode == code
