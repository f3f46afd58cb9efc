"""Alerts over real connections: forms, repetitions, limits, failures, and that no secret leaks."""

import base64
import logging
import time
from datetime import UTC, date, datetime
from email import message_from_string
from pathlib import Path

import pytest
from alerts.receivers import Hook, certificate, hook, mailbox
from session.days import DAYS, market, plan_of, rules

from harmony_pipeline.alerts.alert import Alert, alert_of
from harmony_pipeline.alerts.channels import channels_of
from harmony_pipeline.alerts.sender import AlertSender, Restraint
from harmony_pipeline.alerts.settings import AlertSettings
from harmony_pipeline.alerts.watch import SessionWatch
from harmony_pipeline.cli.alerts import try_channels
from harmony_pipeline.config import Settings
from harmony_pipeline.errors import ConfigError
from harmony_pipeline.execution import events as ev
from harmony_pipeline.session.ledger import Ledger
from harmony_pipeline.session.process_control import KILL
from harmony_pipeline.session.replay import replay_day
from harmony_pipeline.session.runner import Supervision
from harmony_pipeline.stages import alerts as stage
from harmony_pipeline.testing.tiny import tiny_settings

CANARY = "canary-0123456789-secret"
ALERT = Alert("kill_switch", "bad", "the kill switch was pulled: <@everyone> & co", "s1")
QUICK = {"wait_seconds": 0.01, "timeout_seconds": 2.0}


def settings_of(*channels: str, **more: object) -> AlertSettings:
    return AlertSettings.model_validate({"channels": channels, **QUICK, **more})


def send(
    settings: AlertSettings, environment: dict[str, str], *alerts: Alert, state: Path | None = None
) -> AlertSender:
    with AlertSender(channels_of(settings, environment), settings, state) as sender:
        for alert in alerts:
            sender.send(alert)
    return sender


# --- forms ----------------------------------------------------------------------------------------


def test_slack_discord_telegram_and_plain_get_their_own_form() -> None:
    with hook() as server:
        settings = settings_of(
            "slack", "discord", "telegram", "webhook", telegram_chat="-100", telegram_url=server.url
        )
        environment = {
            "HARMONY_SLACK_WEBHOOK": f"{server.url}/slack/{CANARY}",
            "HARMONY_DISCORD_WEBHOOK": f"{server.url}/discord/{CANARY}",
            "HARMONY_TELEGRAM_TOKEN": CANARY,
            "HARMONY_ALERT_WEBHOOK": f"{server.url}/plain",
        }
        assert send(settings, environment, ALERT).lost == 0
        got = dict(server.got)
    assert got[f"/slack/{CANARY}"]["text"].endswith("pulled: &lt;@everyone&gt; &amp; co")
    assert got[f"/discord/{CANARY}"]["allowed_mentions"] == {"parse": []}
    assert got[f"/discord/{CANARY}"]["content"].endswith("<@everyone> & co")
    assert got[f"/bot{CANARY}/sendMessage"]["chat_id"] == "-100"
    assert got["/plain"] == {
        "kind": "kill_switch",
        "level": "bad",
        "subject": "s1",
        "text": ALERT.text,
    }


def email_settings(port: int, **more: object) -> AlertSettings:
    return settings_of(
        "email", smtp_host="localhost", smtp_port=port, email_from="harmony@example.org",
        email_to=("one@example.org", "two@example.org"), **more,
    )  # fmt: skip


def test_an_email_goes_out_over_starttls_and_nothing_is_said_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pem = certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(pem))
    environment = {"HARMONY_SMTP_USER": "me", "HARMONY_SMTP_PASSWORD": CANARY}
    with mailbox(pem) as box:
        alert = Alert("kill_switch", "bad", "stopped:\r\nBcc: evil@example.org")
        assert send(email_settings(box.port), environment, alert).lost == 0
    message = message_from_string(box.messages[0])
    assert message["To"] == "one@example.org, two@example.org"
    assert message["Subject"] == "Harmony: stopped: Bcc: evil@example.org"
    assert message["Bcc"] is None
    plain = [line for line in box.lines if not line.startswith("tls ")]
    assert [line.split()[0].upper() for line in plain] == ["EHLO", "STARTTLS"]
    given = next(line.split()[-1] for line in box.lines if "AUTH" in line)
    assert base64.b64decode(given).decode() == f"\0me\0{CANARY}"


def test_a_server_with_a_certificate_that_nobody_knows_gets_no_password(tmp_path: Path) -> None:
    with mailbox(certificate(tmp_path)) as box:
        environment = {"HARMONY_SMTP_USER": "me", "HARMONY_SMTP_PASSWORD": CANARY}
        sender = send(email_settings(box.port), environment, ALERT)
    assert sender.lost == 1
    assert box.messages == []
    assert not any("AUTH" in line for line in box.lines)


def test_a_mail_server_that_is_busy_is_asked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pem = certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(pem))
    with mailbox(pem) as box:
        box.refuse = ["451 later"]
        assert send(email_settings(box.port), {}, ALERT).lost == 0
        assert len(box.messages) == 1
        box.refuse = ["550 never", "250 ok"]
        assert send(email_settings(box.port), {}, ALERT).lost == 1
        assert len(box.messages) == 1


# --- failures -------------------------------------------------------------------------------------


def plain(server: Hook, **more: object) -> tuple[AlertSettings, dict[str, str]]:
    return settings_of("webhook", **more), {"HARMONY_ALERT_WEBHOOK": f"{server.url}/{CANARY}"}


def test_what_may_pass_is_tried_again_and_what_cannot_is_given_up(tmp_path: Path) -> None:
    with hook() as server:
        server.answers = [(500, {}), (429, {"Retry-After": "0"}), (200, {})]
        assert send(*plain(server), ALERT).lost == 0
        assert len(server.got) == 3
        server.answers = [(404, {})]
        assert send(*plain(server), ALERT, state=tmp_path).lost == 1
        assert len(server.got) == 4
        server.answers = [(503, {})] * 9
        assert send(*plain(server, attempts=3), ALERT).lost == 1
        assert len(server.got) == 7
    text = (tmp_path / "logs" / "harmony.jsonl").read_text()
    assert "webhook answered 404" in text
    assert CANARY not in text


def test_a_redirect_is_not_followed() -> None:
    with hook() as elsewhere, hook() as server:
        server.answers = [(302, {"Location": elsewhere.url})]
        assert send(*plain(server), ALERT).lost == 1
        assert elsewhere.got == []


def test_a_server_that_hangs_holds_nobody_up() -> None:
    with hook() as server:
        server.gate.clear()
        settings, environment = plain(server, most_per_hour=10_000)
        sender = AlertSender(channels_of(settings, environment), settings)
        began = time.perf_counter()
        for number in range(500):
            sender.send(Alert("stale_data", "bad", "silent", str(number)))
        assert time.perf_counter() - began < 10.0  # one that waits takes two seconds each
        assert sender.lost >= 399  # a hundred wait, one is under way
        began = time.perf_counter()
        sender.close(0.2)
        assert time.perf_counter() - began < 10.0  # what waits would take minutes


def test_one_channel_that_fails_does_not_keep_another_waiting() -> None:
    with hook() as server:
        environment = {
            "HARMONY_SLACK_WEBHOOK": "http://127.0.0.1:9/x",
            "HARMONY_ALERT_WEBHOOK": server.url,
        }
        assert send(settings_of("slack", "webhook"), environment, ALERT).lost == 1
        assert len(server.got) == 1


# --- how many -------------------------------------------------------------------------------------


def test_repetitions_are_counted_and_told_with_the_next() -> None:
    restraint = Restraint(settings_of(repeat_minutes=10.0))
    sent = [restraint.judge(ALERT, minute * 60.0) for minute in range(21)]
    assert [minute for minute, alert in enumerate(sent) if alert] == [0, 10, 20]
    assert sent[10] is not None
    assert sent[10].text.endswith("(9 more like this since the last)")
    other = Alert("kill_switch", "bad", "x", "another subject")
    assert restraint.judge(other, 20 * 60.0) is not None


def test_no_more_than_so_many_an_hour_leave() -> None:
    restraint = Restraint(settings_of(most_per_hour=3))
    sent = [
        restraint.judge(Alert("stale_data", "bad", "x", str(number)), number)
        for number in range(10)
    ]
    assert sum(alert is not None for alert in sent) == 3
    late = restraint.judge(Alert("stale_data", "bad", "x", "late"), 3700.0)
    assert late is not None
    assert "7 alerts were held back" in late.text


def test_what_is_below_the_least_level_is_not_sent() -> None:
    restraint = Restraint(settings_of(least="bad"))
    assert restraint.judge(Alert("order_rejected", "warn", "x"), 0.0) is None


# --- what alerts ----------------------------------------------------------------------------------

NOW = {
    "happened_at": datetime(2024, 6, 3, tzinfo=UTC),
    "known_at": datetime(2024, 6, 3, tzinfo=UTC),
}


@pytest.mark.parametrize(
    ("event", "kind"),
    [
        (ev.SessionEnded(session_id="s", outcome="stopped", **NOW), "session_ended"),
        (ev.SessionEnded(session_id="s", outcome="completed", **NOW), None),
        (
            ev.BooksReconciled(differences=("AAA: 3 here, 4 there",), **NOW),
            "reconciliation_difference",
        ),
        (ev.BooksReconciled(**NOW), None),
        (
            ev.BooksDiffered(
                subject="position",
                key="AAA",
                symbol="AAA",
                ledger=3.0,
                broker=4.0,
                rule="adopt",
                sentence="AAA: ledger 3, broker 4 shares: adopted",
                **NOW,
            ),
            "reconciliation_difference",
        ),
        (ev.BreakerTripped(breaker="max_daily_loss", measure=-0.03, **NOW), "breaker_tripped"),
        (ev.KillSwitchPulled(reason="enough", **NOW), "kill_switch"),
        (ev.StreamStale(stream="bars", age_seconds=91.0, **NOW), "stale_data"),
        (ev.StreamStale(stream="orders", age_seconds=0.0, **NOW), "order_stream_down"),
        (
            ev.RiskStateChanged(previous="ACTIVE", current="HALTED", reason="kill switch", **NOW),
            None,
        ),
        (
            ev.RiskStateChanged(previous="ACTIVE", current="HALTED", reason="bars are late", **NOW),
            "halted",
        ),
    ],
)
def test_each_event_that_matters_has_its_alert(event: ev.Event, kind: str | None) -> None:
    alert = alert_of(event, "s")
    assert (alert.kind if alert else None) == kind


def test_a_session_that_is_killed_alerts_while_it_runs(tmp_path: Path) -> None:
    bars = market()
    with Ledger(tmp_path / "ledger.sqlite") as ledger, hook() as server:
        plan = plan_of(DAYS[0], ledger, bars, rules("signal"))
        settings, environment = plain(server)
        with (
            AlertSender(channels_of(settings, environment), settings) as sender,
            SessionWatch(Path(ledger.place), plan.session_id, sender, look_seconds=0.02),
        ):
            (tmp_path / "state").mkdir()
            watch = Supervision(tmp_path / "state")
            ran = []

            original = ledger.put_equity

            def put(*arguments: object, **named: object) -> bool:
                ran.append(1)
                if len(ran) == 5:
                    (tmp_path / "state" / KILL).write_text("too hot")
                return original(*arguments, **named)  # type: ignore[arg-type]

            ledger.put_equity = put  # type: ignore[method-assign]
            result = replay_day(plan, bars, ledger, watch)
        assert result.state == "killed"
        assert [body["kind"] for _, body in server.got] == ["kill_switch", "session_ended"]
        assert "too hot" in server.got[0][1]["text"]


# --- settings, command, secrets -------------------------------------------------------------------


def with_alerts(folder: Path, **alerts: object) -> Settings:
    settings = tiny_settings(folder)
    values = settings.model_dump() | {"alerts": {**QUICK, **alerts}, "file": settings.file}
    return Settings.model_validate(values)


def test_a_channel_without_its_secret_is_named_and_a_session_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HARMONY_SLACK_WEBHOOK", raising=False)
    with pytest.raises(ConfigError, match="HARMONY_SLACK_WEBHOOK is not in the environment"):
        channels_of(settings_of("slack"), {})
    settings = with_alerts(tmp_path, channels=["slack"])
    stage.send_alert(settings, ALERT)
    assert "HARMONY_SLACK_WEBHOOK" in (settings.state_root / "logs" / "harmony.jsonl").read_text()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"channels": ["telegram"]}, "telegram_chat"),
        ({"channels": ["email"]}, "smtp_host"),
        ({"channels": ["pigeon"]}, "slack"),
    ],
)
def test_settings_that_are_not_whole_are_refused(given: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        AlertSettings.model_validate(given)


def test_the_command_tries_each_channel_and_shows_no_secret(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    with hook() as server:
        monkeypatch.setenv("HARMONY_SLACK_WEBHOOK", f"{server.url}/{CANARY}")
        monkeypatch.setenv("HARMONY_TELEGRAM_TOKEN", CANARY)
        settings = with_alerts(
            tmp_path,
            channels=["slack", "telegram"],
            telegram_chat="1",
            telegram_url="http://127.0.0.1:9",
        )
        assert not try_channels(settings)
        stage.send_alert(settings, Alert("run_failed", "bad", f"it said {CANARY}"))
        assert server.got[0][1]["text"].endswith("nothing has happened")
        assert CANARY not in str([body for _, body in server.got])
    shown = capsys.readouterr().out
    assert "slack: sent" in shown
    assert "telegram: telegram cannot be reached" in shown
    everything = (
        shown
        + caplog.text
        + "".join(
            path.read_text(errors="replace") for path in tmp_path.rglob("*") if path.is_file()
        )
    )
    assert "alert not sent" in everything
    assert CANARY not in everything
    assert CANARY not in repr(
        channels_of(
            settings.alerts,
            {"HARMONY_SLACK_WEBHOOK": f"http://x/{CANARY}", "HARMONY_TELEGRAM_TOKEN": CANARY},
        )
    )


def test_alerts_are_no_part_of_what_a_replay_is_named_by(tmp_path: Path) -> None:
    from harmony_pipeline.stages.context import PipelineContext
    from harmony_pipeline.stages.session_plans import replay_account

    plain_settings, alerting = tiny_settings(tmp_path), with_alerts(tmp_path, channels=["slack"])
    assert replay_account(PipelineContext(plain_settings)) == replay_account(
        PipelineContext(alerting)
    )


def test_a_session_process_that_is_killed_is_told_by_its_supervisor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    from harmony_pipeline.session.process_supervision import (
        SessionProcessFailed,
        run_session_process,
    )
    from harmony_pipeline.stages import session_runs
    from harmony_pipeline.stages.context import PipelineContext

    def killed(state: Path, day: date, _command: object, *_hung: object) -> None:
        run_session_process(
            state, day, [sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"]
        )

    with hook() as server:
        monkeypatch.setenv("HARMONY_ALERT_WEBHOOK", server.url)
        monkeypatch.setattr(session_runs, "run_session_process", killed)
        pipeline = PipelineContext(with_alerts(tmp_path, channels=["webhook"]))
        with pytest.raises(SessionProcessFailed, match="code -9"):
            session_runs.run_session_in_process(pipeline, DAYS[0])
        assert [body["kind"] for _, body in server.got] == ["process_died"]


def test_a_session_that_lives_and_says_nothing_is_told_once(tmp_path: Path) -> None:
    """It is heard from again, and falls silent again: twice."""
    import sys

    from harmony_pipeline.session.process_control import HEARTBEAT
    from harmony_pipeline.session.process_supervision import run_session_process

    heartbeat, told = tmp_path / HEARTBEAT, []
    code = f"""
import pathlib, time
heartbeat = pathlib.Path({str(heartbeat)!r})
time.sleep(1.2)
heartbeat.write_text("{{}}")
time.sleep(1.4)
"""
    run_session_process(tmp_path, DAYS[0], [sys.executable, "-c", code], 0.6, told.append)
    assert len(told) == 2
    assert min(told) > 0.6


@pytest.mark.parametrize("hours", [-1.0, 1.0])
def test_a_clock_that_is_set_hides_no_silence_and_makes_none(hours: float, tmp_path: Path) -> None:
    """The stamps of heartbeats are an hour off: before the machine's time was corrected."""
    import sys

    from harmony_pipeline.session.process_control import HEARTBEAT
    from harmony_pipeline.session.process_supervision import run_session_process

    heartbeat, told = tmp_path / HEARTBEAT, []
    code = f"""
import os, pathlib, time
heartbeat = pathlib.Path({str(heartbeat)!r})
for number in range(12):
    at = time.time() + 3600 * {hours} + number
    heartbeat.write_text("{{}}")
    os.utime(heartbeat, (at, at))
    time.sleep(0.2)
time.sleep({{silent}})
"""
    for silent, times in ((0.0, 0), (4.0, 1)):
        program = code.replace("{silent}", str(silent))
        run_session_process(tmp_path, DAYS[0], [sys.executable, "-c", program], 2.0, told.append)
        assert len(told) == times
