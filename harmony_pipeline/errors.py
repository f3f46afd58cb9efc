"""What can go wrong, by what the caller does next.

HarmonyError
├── ConfigError          fix the file or the environment
├── DataError            fix, fetch or quarantine the input
│   └── Superseded           somebody else wrote it first: do it again
├── NotReady             materialise what is missing first
└── BrokerError
    ├── BrokerUnavailable    the outcome is unknown: look the order up, then try again
    ├── BrokerRejected       do not try again
    └── BrokerContradiction  stop and reconcile

Expected outcomes (a risk refusal, a failed promotion, a quarantined row) are values with reasons, not exceptions.
"""

from harmony_pipeline.text import message


class HarmonyError(Exception):
    """Anything that Harmony refuses to do; the text is one line that a person can act on, without control characters of foreign text."""

    def __str__(self) -> str:
        return message(super().__str__())


class ConfigError(HarmonyError):
    """The settings are wrong: says which key, what was found, what is allowed."""


class DataError(HarmonyError):
    """Input that cannot be used: says which file, row and column, what was found and the cure."""


class Superseded(DataError):
    """Somebody else wrote the partition between lock and publication: nothing was published, run it again."""


class NotReady(HarmonyError):
    """Something that is needed first does not exist yet: says what, and the command that makes it."""


class BrokerError(HarmonyError):
    """Any trouble with a broker."""


class BrokerUnavailable(BrokerError):
    """The broker did not answer: what became of the request is unknown."""


class BrokerRejected(BrokerError):
    """The broker refused, and will refuse again."""


class BrokerContradiction(BrokerError):
    """The broker and the ledger disagree: trading stops until a person or reconciliation settles it."""
