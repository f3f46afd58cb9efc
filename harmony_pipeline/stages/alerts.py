"""Alerts of a session, of the process that carries it, and of the graph's runs."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager

from harmony_pipeline.alerts.alert import Alert
from harmony_pipeline.alerts.channels import Channel, NotSent, channels_of
from harmony_pipeline.alerts.sender import AlertSender
from harmony_pipeline.alerts.watch import SessionWatch
from harmony_pipeline.config import Settings
from harmony_pipeline.error_messages import is_failure, sentence
from harmony_pipeline.errors import ConfigError
from harmony_pipeline.log import log
from harmony_pipeline.stages.context import PipelineContext
from harmony_pipeline.stages.session_plans import ledger_place


def sender_of(settings: Settings) -> AlertSender:
    """A sender over the channels of the settings. One whose secret is not in the environment is
    left out, and the log says so: for an alert no session is held up.
    """
    state, channels = settings.present_state_root, []
    for name in settings.alerts.channels:
        only = settings.alerts.model_copy(update={"channels": (name,)})
        try:
            channels += channels_of(only, os.environ)
        except ConfigError as error:
            log(state, "alerts are off", logging.WARNING, reason=str(error))
    return AlertSender(channels, settings.alerts, state)


@contextmanager
def alerts_during(pipeline: PipelineContext, session_id: str) -> Iterator[None]:
    """Send what happens in the session while the block runs, and that it failed, if it does."""
    if not pipeline.settings.alerts.channels:
        yield
        return
    with sender_of(pipeline.settings) as sender:
        try:
            with SessionWatch(ledger_place(pipeline), session_id, sender):
                yield
        except BaseException as error:
            if is_failure(error):
                text = f"session {session_id} failed: {sentence(error)}"
                sender.send(Alert("session_failed", "bad", text, session_id))
            raise


def send_alert(settings: Settings, alert: Alert) -> None:
    """Send one alert and wait some seconds for it; nothing where there are no channels."""
    if settings.alerts.channels:
        with sender_of(settings) as sender:
            sender.send(alert)


def sample_alert() -> Alert:
    """What `harmony alerts test` sends."""
    return Alert("test", "bad", "this is a test of the alerts; nothing has happened")


def try_channel(channel: Channel) -> str | None:
    """Send the test through one channel, once; why not, or None."""
    try:
        channel.send(sample_alert())
    except NotSent as error:
        return str(error)
    return None
