"""Where alerts go and how many. Addresses that are secrets come from the environment
(`alerts/channels.py`).
"""

from typing import Literal, Self

from pydantic import Field, model_validator

from harmony_pipeline.settings_base import FrozenSettings

ChannelName = Literal["slack", "discord", "telegram", "webhook", "email"]


class AlertSettings(FrozenSettings):
    """What a person is told at once, and through which channels; none by default."""

    channels: tuple[ChannelName, ...] = ()
    least: Literal["info", "warn", "bad"] = Field(
        "warn", description="alerts below this are not sent"
    )
    repeat_minutes: float = Field(
        15.0, ge=0.0, description="the same alert is not sent again so soon; it is counted"
    )
    most_per_hour: int = Field(30, ge=1, description="over all channels; what is more is counted")
    attempts: int = Field(5, ge=1, description="times that a channel is tried")
    wait_seconds: float = Field(
        1.0, gt=0.0, description="before the second attempt; doubles, up to a minute"
    )
    timeout_seconds: float = Field(10.0, gt=0.0, description="of one attempt")
    telegram_chat: str | None = Field(None, description="chat id, like -1001234567890")
    telegram_url: str = "https://api.telegram.org"
    smtp_host: str | None = None
    smtp_port: int = Field(587, ge=1, le=65535)
    smtp_security: Literal["starttls", "tls", "none"] = "starttls"
    email_from: str | None = None
    email_to: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _channels_are_complete(self) -> Self:
        if "telegram" in self.channels and not self.telegram_chat:
            raise ValueError("channel telegram needs a chat: set alerts.telegram_chat")
        if "email" in self.channels and not (self.smtp_host and self.email_from and self.email_to):
            raise ValueError(
                "channel email needs alerts.smtp_host, alerts.email_from and alerts.email_to"
            )
        return self
