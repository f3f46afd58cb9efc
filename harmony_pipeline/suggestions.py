"""A name that is not known, told with the nearest one that is."""

from collections.abc import Iterable
from difflib import get_close_matches

from harmony_pipeline.text import NAME, excerpt

_SHOWN = 40


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that `name` was probably meant to be; case does not count."""
    by_folded = {choice.casefold(): choice for choice in known}
    found = get_close_matches(name.casefold(), by_folded, n=1)
    return by_folded[found[0]] if found else None


def unknown_name(what: str, name: str, known: Iterable[str], offer: str = "choose one of") -> str:
    """`no asset 'barz'; did you mean 'bars'? choose one of bars, features, ...`."""
    choices = list(known)
    guess = nearest(name, choices)
    names = ", ".join(excerpt(choice, NAME) for choice in choices[:_SHOWN])
    more = f" and {len(choices) - _SHOWN} more" if len(choices) > _SHOWN else ""
    meant = f"did you mean '{guess}'? " if guess else ""
    offered = f"{offer} {names}{more}" if choices else "there is none yet"
    return f"no {what} '{excerpt(name)}'; {meant}{offered}"
