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

Expected outcomes (a risk refusal, a failed promotion, a quarantined row) are values with reasons,
not exceptions.
"""

from harmony_pipeline.text import message


class HarmonyError(Exception):
    """Anything that Harmony refuses to do. The text is one actionable line without control
    characters.
    """

    def __str__(self) -> str:
        return message(super().__str__())


class ConfigError(HarmonyError):
    """The settings are wrong. The text has the key, what was found, and what is allowed."""


class DataError(HarmonyError):
    """Unusable input. The text has the file, row and column, what was found and what to do."""


class Superseded(DataError):
    """Another process wrote the partition between lock and publication. Nothing was published; run
    again.
    """


class NotReady(HarmonyError):
    """Something required does not exist yet. The text has it and the command that makes it."""


class BrokerError(HarmonyError):
    """Any error of a broker."""


class BrokerUnavailable(BrokerError):
    """The broker did not answer. The outcome of the request is unknown."""


class BrokerRejected(BrokerError):
    """The broker refused and will refuse again."""


class BrokerContradiction(BrokerError):
    """The broker and the ledger disagree. Trading stops until a person or reconciliation resolves
    it.
    """
