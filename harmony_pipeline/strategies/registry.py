"""From `[strategies.NAME]` to a strategy: the class by its import path, its parameters checked by
name and value.

A class with `signals` is a strategy; one with `on_bar` is a state machine and is made one by
`Stepwise`. Shipped classes and your own are treated alike: any importable `module:Class` will do.
"""

import inspect
from collections.abc import Callable, Collection, Mapping
from typing import Any

from pydantic import ValidationError

from harmony_pipeline.errors import ConfigError
from harmony_pipeline.import_paths import executed_anew, import_object
from harmony_pipeline.strategies.base import ComparesFills, StateMachine, Stepwise, Strategy
from harmony_pipeline.strategies.settings import StrategySettings, acts_on_quotes
from harmony_pipeline.suggestions import nearest

SHIPPED = (
    "harmony_pipeline.strategies.crossover:MovingAverageCrossover",
    "harmony_pipeline.strategies.rsi:RsiMomentum",
    "harmony_pipeline.strategies.bollinger:BollingerReversion",
    "harmony_pipeline.strategies.meta:MetaLabelled",
    "harmony_pipeline.strategies.meta:MetaOver",
    "harmony_pipeline.strategies.breakout:OpeningRangeBreakout",
    "harmony_pipeline.strategies.z_score_momentum:ZScoreMomentum",
    "harmony_pipeline.strategies.pairs:PairsTrading",
    "harmony_pipeline.strategies.gap_momentum:GapMomentum",
    "harmony_pipeline.strategies.trend_pullback:TrendPullback",
    "harmony_pipeline.strategies.rule_library:RuleLibrary",
)

_OURS = "harmony_pipeline."


def build_strategy(
    settings: StrategySettings, overrides: Mapping[str, Any] | None = None
) -> Strategy:
    """The strategy that `settings` names, with its parameters and `overrides` over them.

    Raises ConfigError for an import path that leads nowhere, a class that is no strategy, a
    parameter that it does not have, or a value that it refuses; the message names the valid
    choices.
    """
    kind = strategy_class(settings.use)
    if acts_on_quotes(settings):
        raise ConfigError(
            f"strategy {settings.use} acts on quotes, so bars make no signals of it: it is"
            " backtested over quotes and trades, by harmony backtest or from Python by"
            " h.open_lake(...).backtest_quotes(...), and is no part of a portfolio or a session"
            " (docs/strategies.md, Market making)"
        )
    make, built = _maker(kind, settings, overrides)
    strategy: Strategy = built if hasattr(kind, "signals") else Stepwise(make, kind.__name__)
    return strategy


def build_anew(settings: StrategySettings) -> Strategy:
    """`build_strategy` from a module that is executed anew, so that nothing is known of earlier
    calls. Shipped modules keep nothing and are taken as they are.
    """
    built = build_strategy(settings)
    module = settings.use.partition(":")[0]
    if module.startswith(_OURS):
        return built
    with executed_anew(module):
        return build_strategy(settings)


def build_machine(
    settings: StrategySettings, overrides: Mapping[str, Any] | None = None
) -> StateMachine:
    """The state machine that `settings` names, for a driver that gives it events one at a time.

    Raises ConfigError as `build_strategy`, and for a strategy of columns.
    """
    kind = strategy_class(settings.use)
    if not hasattr(kind, "on_bar"):
        raise ConfigError(
            f"strategy {settings.use} is made of columns (`signals`); quotes are for state machines"
            " (`on_quote`)"
        )
    machine: StateMachine = _maker(kind, settings, overrides)[1]
    return machine


def _maker(
    kind: type[Any], settings: StrategySettings, overrides: Mapping[str, Any] | None
) -> tuple[Callable[[], Any], Any]:
    """What makes instances with these parameters, and the first one."""
    parameters = {**settings.parameters, **(overrides or {})}
    _refuse_unknown(kind, parameters, settings.use)

    def make() -> Any:
        return kind(**parameters)

    try:
        return make, make()
    except ValidationError as error:
        found = "; ".join(
            _sentence(detail["loc"], detail["msg"], detail.get("input"))
            for detail in error.errors()
        )
        raise ConfigError(f"strategy {settings.use}: {found}") from None
    except (TypeError, ValueError) as error:
        raise ConfigError(
            f"strategy {settings.use} refused its parameters {parameters}: {error}"
        ) from None


def strategy_class(use: str) -> type[Any]:
    """The class at `module:Class`."""
    kind: Any = import_object(use, "strategies.use", SHIPPED)
    if not (
        inspect.isclass(kind)
        and hasattr(kind, "required_features")
        and (hasattr(kind, "signals") or hasattr(kind, "on_bar"))
    ):
        raise ConfigError(
            f"strategies.use = '{use}': is no strategy: a class needs required_features and either"
            " signals or on_bar"
        )
    return kind


def fill_parameter(use: str) -> str | None:
    """The parameter that takes the price at which orders fill, of a class that compares fills."""
    kind = strategy_class(use)
    return kind.fills_as if isinstance(kind, ComparesFills) else None


def with_fill_price(name: str, chosen: StrategySettings, entry: str) -> StrategySettings:
    """The settings of a strategy with the price at which its orders fill as a parameter, where it
    compares fills. Raises ConfigError where it is given as a parameter, too.
    """
    parameter = fill_parameter(chosen.use)
    if parameter is None:
        return chosen
    refuse_fill_price(name, chosen.use, {**chosen.parameters, **chosen.grid})
    if entry == "open":
        return chosen
    return chosen.model_copy(update={"parameters": {**chosen.parameters, parameter: entry}})


def refuse_fill_price(name: str, use: str, parameters: Collection[str]) -> None:
    """Raises ConfigError where the price at which orders fill is among the parameters."""
    parameter = fill_parameter(use)
    if parameter in parameters:
        raise ConfigError(
            f"strategies.{name}.parameters.{parameter}: orders fill where labels.entry, or"
            f" strategies.{name}.bracket.entry, says, and {use} compares them there: take"
            f" {parameter} out, and set one of those"
        )


def refuse_misspelt(use: str, parameters: Mapping[str, Any], arguments: Collection[str]) -> None:
    """Raises ConfigError for a parameter that the class lacks and that is spelt nearly as one of
    the `arguments` beside it.
    """
    accepted = _accepted(strategy_class(use))
    if accepted is None:
        return
    for name in parameters:
        guess = None if name in accepted else nearest(name, [*accepted, *arguments])
        if guess in arguments:
            raise ConfigError(
                f"there is no argument '{name}'; did you mean '{guess}'? the parameters of strategy"
                f" {use}: {', '.join(accepted) or 'none'}"
            )


def _accepted(kind: type[Any]) -> list[str] | None:
    """Names of the parameters of a class; None where it takes any."""
    accepted = inspect.signature(kind).parameters
    takes_any = any(one.kind is inspect.Parameter.VAR_KEYWORD for one in accepted.values())
    return None if takes_any else list(accepted)


def _refuse_unknown(kind: type[Any], parameters: Mapping[str, Any], use: str) -> None:
    accepted = _accepted(kind)
    if accepted is None:
        return
    for name in parameters:
        if name not in accepted:
            guess = nearest(name, accepted)
            hint = f"did you mean '{guess}'? " if guess else ""
            raise ConfigError(
                f"strategy {use} has no parameter '{name}'; {hint}valid:"
                f" {', '.join(accepted) or 'none'}"
            )


def _sentence(location: tuple[int | str, ...], message: str, found: Any) -> str:
    said = message.removeprefix("Value error, ")
    return f"parameter {'.'.join(map(str, location))} = {found!r}: {said}" if location else said
