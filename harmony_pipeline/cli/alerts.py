"""`harmony alerts test`: one message through each channel, and what became of it."""

import os
from typing import Any

import typer

from harmony_pipeline.alerts.channels import channels_of
from harmony_pipeline.stages.alerts import try_channel


def try_channels(settings: Any) -> bool:
    """Whether every channel took the message; a line for each."""
    channels = channels_of(settings.alerts, os.environ)
    if not channels:
        typer.echo('alerts.channels is empty: name some, like channels = ["slack"] in [alerts]')
        return False
    failed = 0
    for channel in channels:
        why = try_channel(channel)
        failed += why is not None
        typer.echo(f"{channel.name}: {why or 'sent'}")
    return not failed
