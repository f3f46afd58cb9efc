"""How an alert reaches people: a webhook in the form of Slack, Discord, Telegram or plain JSON, or
an e-mail.

    slack     HARMONY_SLACK_WEBHOOK     {"text": ...}
    discord   HARMONY_DISCORD_WEBHOOK   {"content": ...}, 2,000 characters
    telegram  HARMONY_TELEGRAM_TOKEN    sendMessage of the Bot API, 4,096 characters
    webhook   HARMONY_ALERT_WEBHOOK     {"kind", "level", "subject", "text"}
    email     HARMONY_SMTP_USER, HARMONY_SMTP_PASSWORD, SMTP with STARTTLS

Addresses with secrets in them are read from the environment and are in no error and no log.
"""

import json
import smtplib
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.message import EmailMessage
from typing import Any, Protocol
from urllib.parse import urlsplit

from harmony_pipeline.alerts.alert import Alert
from harmony_pipeline.alerts.settings import AlertSettings
from harmony_pipeline.errors import ConfigError

SLACK, DISCORD = "HARMONY_SLACK_WEBHOOK", "HARMONY_DISCORD_WEBHOOK"
TELEGRAM, WEBHOOK = "HARMONY_TELEGRAM_TOKEN", "HARMONY_ALERT_WEBHOOK"
SMTP_USER, SMTP_PASSWORD = "HARMONY_SMTP_USER", "HARMONY_SMTP_PASSWORD"
_SIGNS = {"info": "\u2139\ufe0f", "warn": "\u26a0\ufe0f", "bad": "\U0001f6d1"}
_RETRIED = frozenset({408, 425, 429, 500, 502, 503, 504})
_LONGEST = {"slack": 4_000, "discord": 2_000, "telegram": 4_096}


class NotSent(Exception):
    """An attempt failed. retry: another may succeed; after: seconds that the other side asked
    for.
    """

    def __init__(self, why: str, *, retry: bool, after: float | None = None) -> None:
        super().__init__(why)
        self.retry, self.after = retry, after


class Channel(Protocol):
    """One way to a person. `send` raises NotSent, with no secret in its text."""

    @property
    def name(self) -> str:
        """As the settings call it."""
        ...

    def send(self, alert: Alert) -> None:
        """One attempt."""
        ...


@dataclass(frozen=True, repr=False)
class Webhook:
    """Posts JSON; `form` makes the body of an alert."""

    name: str
    url: str
    form: Callable[[Alert], Mapping[str, Any]]
    timeout: float

    def send(self, alert: Alert) -> None:
        """Post it once; redirects are not followed."""
        body = json.dumps(self.form(alert)).encode()
        request = urllib.request.Request(  # noqa: S310 - channels_of allows http and https alone
            self.url, body, {"Content-Type": "application/json", "User-Agent": "harmony"}
        )
        try:
            with _OPENER.open(request, timeout=self.timeout):
                return
        except urllib.error.HTTPError as error:
            with error:
                after = error.headers.get("Retry-After", "")
                raise NotSent(
                    f"{self.name} answered {error.code}",
                    retry=error.code in _RETRIED,
                    after=float(after) if after.isascii() and after.isdigit() else None,
                ) from None
        except OSError as error:
            why = error.reason if isinstance(error, urllib.error.URLError) else error
            raise NotSent(
                f"{self.name} cannot be reached ({type(why).__name__})", retry=True
            ) from None
        except Exception as error:  # an answer that is no HTTP
            raise NotSent(f"{self.name}: {type(error).__name__}", retry=True) from None


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_arguments: Any, **_named: Any) -> None:
        return None


_OPENER = urllib.request.build_opener(_NoRedirects())


@dataclass(frozen=True, repr=False)
class Email:
    """Sends by SMTP. user: (name, password), or None for a server that asks for none."""

    settings: AlertSettings
    user: tuple[str, str] | None
    name: str = "email"

    def send(self, alert: Alert) -> None:
        """One message to everybody."""
        settings = self.settings
        message = EmailMessage()
        message["Subject"] = _one_line(f"Harmony: {alert.text}")[:150]
        message["From"] = settings.email_from
        message["To"] = ", ".join(settings.email_to)
        message.set_content(f"{alert.text}\n\n{alert.kind} {alert.subject}\n")
        try:
            with self._connected() as server:
                if self.user is not None:
                    server.login(*self.user)
                server.send_message(message)
        except smtplib.SMTPAuthenticationError:
            raise NotSent("email: the server refused user or password", retry=False) from None
        except smtplib.SMTPResponseException as error:
            temporary = 400 <= error.smtp_code < 500
            raise NotSent(f"email: the server said {error.smtp_code}", retry=temporary) from None
        except ssl.SSLError:
            raise NotSent("email: the server's certificate is not trusted", retry=False) from None
        except (smtplib.SMTPNotSupportedError, smtplib.SMTPRecipientsRefused) as error:
            raise NotSent(f"email: {type(error).__name__}", retry=False) from None
        except (smtplib.SMTPException, OSError) as error:
            raise NotSent(
                f"email: {settings.smtp_host} cannot be reached ({type(error).__name__})",
                retry=True,
            ) from None

    def _connected(self) -> smtplib.SMTP:
        settings = self.settings
        host, port, timeout = settings.smtp_host or "", settings.smtp_port, settings.timeout_seconds
        if settings.smtp_security == "tls":
            context = ssl.create_default_context()
            return smtplib.SMTP_SSL(host, port, timeout=timeout, context=context)
        server = smtplib.SMTP(host, port, timeout=timeout)
        if settings.smtp_security == "starttls":
            try:
                server.starttls(context=ssl.create_default_context())
            except BaseException:
                server.close()
                raise
        return server


def channels_of(settings: AlertSettings, environment: Mapping[str, str]) -> list[Channel]:
    """The channels that the settings name. Raises ConfigError naming the variable that is not
    set.
    """
    return [_channel(name, settings, environment) for name in settings.channels]


def _channel(name: str, settings: AlertSettings, environment: Mapping[str, str]) -> Channel:
    if name == "email":
        user, password = environment.get(SMTP_USER), environment.get(SMTP_PASSWORD)
        return Email(settings, (user, password) if user and password else None)
    variable = {"slack": SLACK, "discord": DISCORD, "telegram": TELEGRAM, "webhook": WEBHOOK}[name]
    secret = environment.get(variable, "").strip()
    if not secret:
        raise ConfigError(f"alerts.channels has {name}, and {variable} is not in the environment")
    if name == "telegram":
        url = f"{settings.telegram_url.rstrip('/')}/bot{secret}/sendMessage"
    else:
        url = secret
    if urlsplit(url).scheme not in {"http", "https"}:
        raise ConfigError(f"{variable} is no address that begins with https://")
    form = {
        "slack": _slack, "discord": _discord, "webhook": _plain,
        "telegram": lambda alert: {"chat_id": settings.telegram_chat, "text": _text(alert, name)},
    }[name]  # fmt: skip
    return Webhook(name, url, form, settings.timeout_seconds)


def _slack(alert: Alert) -> dict[str, Any]:
    text = _text(alert, "slack")
    for sign, escaped in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):
        text = text.replace(sign, escaped)
    return {"text": text}


def _discord(alert: Alert) -> dict[str, Any]:
    # nobody is mentioned, whatever a text says
    return {"content": _text(alert, "discord"), "allowed_mentions": {"parse": []}}


def _plain(alert: Alert) -> dict[str, Any]:
    return {
        "kind": alert.kind, "level": alert.level, "subject": alert.subject, "text": alert.text,
    }  # fmt: skip


def _text(alert: Alert, form: str) -> str:
    return f"{_SIGNS[alert.level]} Harmony: {_one_line(alert.text)}"[: _LONGEST[form]]


def _one_line(text: str) -> str:
    return " ".join(text.split())
