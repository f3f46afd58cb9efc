"""The two keys of an account: from the environment, else from a file `.env`. They appear in no
message, no log and no table.
"""

from collections.abc import Mapping
from pathlib import Path

from dotenv import dotenv_values

from harmony_pipeline.errors import ConfigError

KEY, SECRET = "ALPACA_API_KEY", "ALPACA_SECRET_KEY"
_NAMES = ((KEY, SECRET), ("APCA_API_KEY_ID", "APCA_API_SECRET_KEY"))


class Keys:
    """A key and a secret whose text form hides both."""

    __slots__ = ("key", "secret")

    def __init__(self, key: str, secret: str) -> None:
        self.key, self.secret = key, secret

    def __repr__(self) -> str:
        return "Keys(***)"

    def hidden(self, text: str) -> str:
        """The text with the keys taken out."""
        for value, name in ((self.secret, SECRET), (self.key, KEY)):
            text = text.replace(value, f"${name}")
        return text


def read_keys(environment: Mapping[str, str], folders: tuple[Path, ...] = ()) -> Keys:
    """The keys that the environment has, else those of the first `.env` that has both. Raises
    ConfigError.
    """
    sources: list[Mapping[str, str | None]] = [environment]
    sources += [dotenv_values(folder / ".env") for folder in folders if (folder / ".env").is_file()]
    for source in sources:
        for names in _NAMES:
            key, secret = (str(source.get(name) or "").strip() for name in names)
            if key and secret:
                return Keys(key, secret)
    raise ConfigError(
        f"Alpaca needs keys, and {KEY} and {SECRET} are neither in the environment nor in a file"
        " .env beside the settings: make paper keys at https://app.alpaca.markets, or start"
        " `harmony exchange`, which prints the keys that it takes"
    )
