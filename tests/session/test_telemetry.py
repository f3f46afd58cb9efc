"""A collector gets spans and metrics whose counts are the ledger's; one that is down, silent or
refuses changes nothing.
"""

import json
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from session.crashes import Fuse
from session.days import DAYS, fresh_ledger, market, plan_of, rules
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from harmony_pipeline.errors import BrokerUnavailable, ConfigError
from harmony_pipeline.exchange.account_views import account_id
from harmony_pipeline.exchange.local_server import Fault, LocalServer
from harmony_pipeline.execution import events as ev
from harmony_pipeline.session.clock import ReplayClock
from harmony_pipeline.session.ledger import Ledger
from harmony_pipeline.session.live_portfolio import LivePortfolio
from harmony_pipeline.session.order_gateway import OrderGateway
from harmony_pipeline.session.order_manager import OrderManager
from harmony_pipeline.session.quotes import QuoteCounts, Quotes
from harmony_pipeline.session.replay import day_bars, replay_day, simulated_broker
from harmony_pipeline.session.result import SessionResult
from harmony_pipeline.session.runner import Supervision, run_session
from harmony_pipeline.session.settings import SessionSettings
from harmony_pipeline.session.stream import Batch, ReplayStream
from harmony_pipeline.session.telemetry_setup import telemetry_of
from harmony_pipeline.strategies.base import Stepwise
from harmony_pipeline.strategies.events import Enter, Leave, Quote
from harmony_pipeline.testing import stepped_day
from harmony_pipeline.testing.stepped_day import CrashingBroker, Happening, SteppedWorld

pytest.importorskip("opentelemetry.sdk", reason="needs the extra telemetry")
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
)

from harmony_pipeline.session import otlp_delivery
from harmony_pipeline.session.otlp_spans import refusal_attributes

pytestmark = pytest.mark.network
MARKET = market()
CANARY = "CanaryOfTheHeaders0123456789"


class Collector(LocalServer):
    """An OTLP receiver: keeps everything as it was sent, and decoded."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.traces: list[Any] = []
        self.metrics: list[Any] = []
        super().__init__(
            [
                Route("/v1/traces", self._take_traces, methods=["POST"]),
                Route("/v1/metrics", self._take_metrics, methods=["POST"]),
            ]
        )

    async def _take_traces(self, request: Request) -> Response:
        self.traces.append(ExportTraceServiceRequest.FromString(await self._body(request)))
        return Response(media_type="application/x-protobuf")

    async def _take_metrics(self, request: Request) -> Response:
        self.metrics.append(ExportMetricsServiceRequest.FromString(await self._body(request)))
        return Response(media_type="application/x-protobuf")

    async def _body(self, request: Request) -> bytes:
        self.bodies.append(await request.body())
        return self.bodies[-1]

    def spans(self, name: str = "") -> list[Any]:
        """Every span, of a name where one is given."""
        found = [
            span
            for sent in self.traces
            for resource in sent.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]
        return [span for span in found if name in ("", span.name)]

    def points(self, name: str) -> dict[tuple[tuple[str, Any], ...], Any]:
        """The last points of a metric of the session by their attributes."""
        (scope,) = self.metrics[-1].resource_metrics[0].scope_metrics
        (metric,) = [each for each in scope.metrics if each.name == f"harmony.session.{name}"]
        kind = metric.WhichOneof("data")
        return {
            tuple(sorted(attributes_of(point).items())): point
            for point in getattr(metric, kind).data_points
        }

    def numbers(self, name: str) -> dict[tuple[tuple[str, Any], ...], float]:
        """The values of a counter or gauge by attributes."""
        return {
            key: getattr(point, point.WhichOneof("value"))
            for key, point in self.points(name).items()
        }

    def count(self, name: str) -> int:
        """How many times a histogram has."""
        return sum(point.count for point in self.points(name).values())


def attributes_of(found: Any) -> dict[str, Any]:
    """Attributes of a span, a point or a resource; lists as tuples."""
    values = {}
    for each in found.attributes:
        kind = each.value.WhichOneof("value")
        value = getattr(each.value, kind)
        values[each.key] = (
            tuple(item.string_value for item in value.values) if kind == "array_value" else value
        )
    return values


def counted(rows: Sequence[dict[str, Any]]) -> dict[tuple[tuple[str, Any], ...], int]:
    """How often each combination of attributes is met."""
    return dict(Counter(tuple(sorted(row.items())) for row in rows))


def of_order(terms: ev.OrderTerms) -> dict[str, Any]:
    return {"harmony.order.role": terms.role, "harmony.order.side": terms.side}


def events_of(ledger: Ledger, result: SessionResult, *kinds: Any) -> list[Any]:
    found = [event for _, event in ledger.events(result.session_id)]
    return [event for event in found if isinstance(event, kinds)]


def fills_of(result: SessionResult, ledger: Ledger) -> list[dict[str, Any]]:
    """The attributes that each execution in the ledger is counted under."""
    roles = {
        event.client_order_id: event.order for event in events_of(ledger, result, ev.OrderIntended)
    }
    return [
        of_order(roles[fill.client_order_id]) | {"harmony.fill.liquidity": fill.liquidity}
        for fill in events_of(ledger, result, ev.OrderPartiallyFilled)
    ]


def check_counters(collector: Collector, ledger: Ledger, result: SessionResult) -> None:
    """Counters and histograms have as many orders, fills and moments as the ledger."""
    intents = events_of(ledger, result, ev.OrderIntended)
    assert collector.numbers("orders") == counted([of_order(each.order) for each in intents])
    assert collector.numbers("fills") == counted(fills_of(result, ledger))
    moments = events_of(ledger, result, ev.BarsReceived)
    assert collector.count("moment.duration") == len(collector.spans("moment")) == len(moments)
    sent = events_of(ledger, result, ev.OrderSubmitted, ev.OrderRejected, ev.OrderOutcomeUnknown)
    assert collector.count("order.send.duration") == len({each.client_order_id for each in sent})
    equity = result.equity.sort("timestamp")
    assert collector.numbers("equity") == {(): equity["equity"][-1]}
    assert collector.numbers("drawdown") == {(): pytest.approx(equity["drawdown"][-1])}


def log_of(folder: Path) -> list[dict[str, Any]]:
    file = folder / "logs" / "harmony.jsonl"
    lines = file.read_text().splitlines() if file.exists() else []
    return [json.loads(line) for line in lines]


def replayed(folder: Path, url: str, **changes: Any) -> tuple[SessionResult, Ledger]:
    ledger = fresh_ledger(folder)
    plan = plan_of(DAYS[0], ledger, MARKET, rules("barriers", **changes))
    watch = Supervision(state=folder / "state", telemetry=url)
    return replay_day(plan, MARKET, ledger, watch), ledger


def test_the_counts_of_a_replayed_day_are_the_ledgers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_SERVICE_NAME", "desk-7")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", f"authorization=Bearer%20{CANARY}")
    with Collector() as collector:
        result, ledger = replayed(tmp_path, collector.url, max_open_positions=2, fill_ratio=0.5)
    with ledger:
        check_counters(collector, ledger, result)
        intents = events_of(ledger, result, ev.OrderIntended)
        refused = events_of(ledger, result, ev.OrderRefused)
        assert len(intents) > 5
        assert refused
        assert collector.numbers("refusals") == counted(
            [
                of_order(each.order)
                | {"harmony.refusal.reason": each.reason, "harmony.risk.limit": each.order.limit}
                for each in refused
            ]
        )
        accepted = {each.client_order_id for each in events_of(ledger, result, ev.OrderAccepted)}
        assert collector.count("order.accept.duration") == len(accepted) > 5
    # each request belongs to its moment, and names its orders
    moments = {span.span_id for span in collector.spans("moment")}
    submits = collector.spans("broker submit")
    assert {span.parent_span_id for span in submits} <= moments
    named = [name for span in submits for name in attributes_of(span)["harmony.order.ids"]]
    assert sorted(named) == sorted(each.client_order_id for each in intents)
    with fresh_ledger(tmp_path) as ledger:
        canceled = events_of(ledger, result, ev.OrderCancelRequested)
    assert len(collector.spans("broker cancel")) == len(canceled) > 0
    assert {attributes_of(span)["harmony.broker.outcome"] for span in submits} == {"answered"}
    assert {attributes_of(span)["harmony.broker.requests"] for span in submits} == {1}
    # who sent it, and with what
    resource = attributes_of(collector.traces[0].resource_spans[0].resource)
    assert resource["service.name"] == "desk-7"
    assert resource["harmony.session.id"] == result.session_id
    assert resource["harmony.session.mode"] == "replay"
    assert {each.headers["authorization"] for each in collector.seen} == {f"Bearer {CANARY}"}
    assert not any(CANARY.encode() in body for body in collector.bodies)
    assert log_of(tmp_path / "state") == []


class Follows:
    """Long of a symbol while its bid is above 100, which no bar of this market is."""

    def required_features(self):
        return ("volatility_20",)

    def on_bar(self, bar):
        return ()

    def on_quote(self, quote):
        return (Enter(quote.symbol, 1),) if quote.bid > 100.0 else (Leave(quote.symbol),)


class WithQuotes:
    """The stepped stream with quotes half a minute into some minutes, and their counts."""

    def __init__(self, inner: Any, bids: dict[int, float]) -> None:
        self._inner, self._bids = inner, bids
        self._heard = 0

    @property
    def quote_counts(self) -> QuoteCounts:
        return QuoteCounts(self._heard + 5, self._heard, 1, 2, 2)

    def moments(self) -> Iterator[Any]:
        number = 0
        for item in self._inner.moments():
            yield item
            if isinstance(item, Batch):
                if number in self._bids:
                    bid, when = self._bids[number], item.end + timedelta(seconds=30)
                    self._heard += 1
                    yield Quotes([Quote("AAA", when, bid, 5.0, bid + 0.02, 5.0)])
                number += 1


def answer(minute: int, status: int, **more: Any) -> Happening:
    """The next order after a minute is answered with this status."""
    fault = {"kind": "status", "status": status, "method": "POST", "path": "/v2/orders", **more}
    return Happening(minute, 2, fault)


def live_day(folder: Path, url: str, ledger: Ledger) -> tuple[SessionResult, SteppedWorld]:
    """A day at an exchange, over real connections, that acts on four quotes. The answer to the
    second order is lost, the third is asked to wait, the fourth is rejected.
    """
    refusal = {"code": 42210000, "message": f"no: {CANARY}"}
    happenings = [
        answer(27, 504, performed=True), answer(29, 429, retry_after=0),
        answer(31, 422, body=refusal),
    ]  # fmt: skip
    chosen = replace(stepped_day.trading_rules(), barriers=False)
    with SteppedWorld(3, folder, 34, happenings, rules=chosen) as world:
        plan = replace(
            stepped_day.plan_of(ledger, chosen),
            strategy_name="follows", strategy=Stepwise(Follows),
        )  # fmt: skip
        broker = CrashingBroker(world, Fuse(), plan)
        bids = {25: 101.0, 28: 99.0, 30: 101.0, 32: 99.0}
        watch = Supervision(
            state=folder / "state", is_live=True, stale_after_seconds=1e6, telemetry=url,
            reconcile_seconds=120.0,
        )  # fmt: skip
        stream = WithQuotes(world.stream(broker, plan), bids)
        return run_session(plan, ledger, broker, stream, broker.clock, watch), world


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """(collector, ledger, result, world) of a day at an exchange."""
    folder = tmp_path_factory.mktemp("live")
    key, secret = stepped_day.KEYS
    with pytest.MonkeyPatch.context() as patch, fresh_ledger(folder) as ledger:
        patch.setenv("ALPACA_API_KEY", key)
        patch.setenv("ALPACA_SECRET_KEY", secret)
        with Collector() as collector:
            result, world = live_day(folder, collector.url, ledger)
        yield collector, ledger, result, world


def by_time(spans: Sequence[Any]) -> list[Any]:
    return sorted(spans, key=lambda span: span.start_time_unix_nano)


def test_the_counts_of_a_live_day_are_the_ledgers(live: Any) -> None:
    collector, ledger, result, _ = live
    assert result.state == "completed"
    check_counters(collector, ledger, result)
    acted = events_of(ledger, result, ev.QuoteActed)
    assert len(collector.spans("quote")) == len(acted) == 4
    rejected = events_of(ledger, result, ev.OrderRejected)
    terms = {
        event.client_order_id: event.order for event in events_of(ledger, result, ev.OrderIntended)
    }
    assert len(rejected) == 1
    assert collector.numbers("rejections") == counted(
        [of_order(terms[each.client_order_id]) for each in rejected]
    )
    assert collector.numbers("risk.state") == {
        (("harmony.risk.state", name),): float(name == "active")
        for name in ("active", "reducing", "halted")
    }
    assert collector.numbers("quotes") == {
        (("harmony.quote.outcome", "handled"),): 4,
        (("harmony.quote.outcome", "conflated"),): 1,
        (("harmony.quote.outcome", "refused"),): 2,
    }
    assert collector.numbers("quote.waiting") == {(): 2}
    assert 0.0 < collector.numbers("data.age")[()] < 60.0


def test_each_request_to_the_broker_says_how_it_ended_and_how_often_it_was_sent(live: Any) -> None:
    collector, ledger, result, world = live
    posted = [each for each in world.exchange.seen if each.method == "POST"]
    submits = by_time(collector.spans("broker submit"))
    assert len(submits) == len(posted) - 1  # one was sent again
    facts = [attributes_of(span) for span in submits]
    assert [
        (each["harmony.broker.outcome"], each["harmony.broker.requests"]) for each in facts[:4]
    ] == [
        ("answered", 2),  # the clock, the order
        ("answered", 2),  # the order, and a look for it since its answer was lost
        ("answered", 3),  # the clock, the order, the order again
        ("rejected", 1),
    ]
    assert [each.get("error.type") for each in facts[:4]] == [None, None, None, "Refusal"]
    assert [span.status.code for span in submits[:4]] == [0, 0, 0, 2]
    assert [span.parent_span_id for span in submits[:4]] == [
        span.span_id for span in by_time(collector.spans("quote"))
    ]
    canceled = events_of(ledger, result, ev.OrderCancelRequested)
    assert len(collector.spans("broker cancel")) == len(canceled)
    assert collector.spans("broker updates")  # only where it asked
    assert all(
        attributes_of(span)["harmony.broker.requests"] > 0
        for span in collector.spans("broker updates")
    )


def test_reconciliations_hold_the_questions_that_they_ask(live: Any) -> None:
    collector, _, _, _ = live
    compared = {span.span_id: attributes_of(span) for span in collector.spans("reconciliation")}
    assert len(compared) > 5  # at the start, on the way, at the end
    assert {each["harmony.reconciliation.differences"] for each in compared.values()} == {0}
    for question in ("broker orders", "broker positions"):
        asked = [span.parent_span_id for span in collector.spans(question)]
        assert sorted(asked) == sorted(compared)


def test_no_secret_and_no_account_leaves(live: Any) -> None:
    collector, ledger, result, world = live
    (rejected,) = events_of(ledger, result, ev.OrderRejected)
    assert CANARY in rejected.reason  # the ledger has the broker's sentence
    account = account_id(world.exchange.venue)
    for hidden in (*stepped_day.KEYS, CANARY, "PA0000000001", account):
        assert not any(hidden.encode() in body for body in collector.bodies)
    assert any(result.session_id.encode() in body for body in collector.bodies)


def test_a_broker_that_gives_no_answer_is_unavailable(tmp_path: Path) -> None:
    """A cancel, a question and news that end with an error are spans with its kind alone."""

    class Mute:
        def __init__(self) -> None:
            self.sent = 0

        def requests_sent(self) -> int:
            return self.sent

        def cancel(self, command: Any) -> None:
            self.sent += 3
            raise BrokerUnavailable(f"no answer: {CANARY}")

        def account(self) -> Any:
            raise ConfigError(f"refused the keys {CANARY}")

        def updates(self) -> Any:
            self.sent += 1
            raise BrokerUnavailable(CANARY)

    with Collector() as collector, fresh_ledger(tmp_path) as ledger:
        plan = plan_of(DAYS[0], ledger, MARKET, rules())
        with telemetry_of(collector.url, plan, is_live=True, tell=print) as telemetry:
            broker: Any = Mute()
            manager = OrderManager(
                LivePortfolio(plan, plan.opening.portfolio), in_process=False, stale_after=plan.bar
            )
            clock = ReplayClock(MARKET["timestamp"][0])
            gateway = OrderGateway(plan.session_id, ledger, broker, manager, clock, telemetry)
            with pytest.raises(BrokerUnavailable), gateway.asking("cancel"):
                broker.cancel(ev.CancelOrder("a"))
            with pytest.raises(ConfigError), gateway.asking("account"):
                broker.account()
            with pytest.raises(BrokerUnavailable):
                gateway.receive_reports()
    found = [
        (
            span.name, facts["harmony.broker.outcome"], facts["harmony.broker.requests"],
            facts["error.type"],
        )
        for span in by_time(collector.spans())
        for facts in [attributes_of(span)]
    ]  # fmt: skip
    assert found == [
        ("broker cancel", "unavailable", 3, "BrokerUnavailable"),
        ("broker account", "failed", 0, "ConfigError"),
        ("broker updates", "unavailable", 1, "BrokerUnavailable"),
    ]
    assert not any(CANARY.encode() in body for body in collector.bodies)


def test_what_the_gate_says_is_counted_by_its_kind() -> None:
    decided = MARKET["timestamp"][0]
    said = {
        "halted: no bars for 420 s": "halted",
        "reducing: no bars for 240 s": "reducing",
        "flatten": "flatten",
        "AAA is halted: its books were corrected": "symbol_halted",
        f"mine is stopped: ValueError {CANARY}": "strategy_stopped",
        f"something new {CANARY}": "other",
    }
    for sentence, kind in said.items():
        terms = ev.OrderTerms(
            client_order_id="a", order_id="a", symbol="AAA", role="entry", side="buy",
            quantity=1.0, decided_at=decided, strategy="mine",
        )  # fmt: skip
        fact = ev.OrderRefused(
            happened_at=decided, known_at=decided, client_order_id="a", symbol="AAA", order=terms,
            reason=sentence,
        )  # fmt: skip
        assert refusal_attributes(fact) == {
            "harmony.order.role": "entry", "harmony.order.side": "buy",
            "harmony.strategy": "mine", "harmony.refusal.reason": kind,
        }  # fmt: skip


def test_what_happened_before_a_restart_is_not_counted_again(tmp_path: Path) -> None:
    plan_ledger = fresh_ledger(tmp_path)
    plan = plan_of(DAYS[0], plan_ledger, MARKET, rules("barriers"))
    frame = day_bars(plan, MARKET)

    class Dies(ReplayStream):
        def moments(self) -> Iterator[Batch]:
            for number, item in enumerate(super().moments()):
                if number == 6:
                    raise KeyboardInterrupt
                yield item

    def run(stream: type[ReplayStream], url: str) -> SessionResult:
        clock = ReplayClock(frame["timestamp"].min())
        broker = simulated_broker(plan, plan_ledger)
        watch = Supervision(telemetry=url)
        return run_session(plan, plan_ledger, broker, stream(frame, clock), clock, watch)

    with Collector() as first, pytest.raises(KeyboardInterrupt):
        run(Dies, first.url)
    with Collector() as second:
        result = run(ReplayStream, second.url)
    with plan_ledger as ledger:
        moments = len(events_of(ledger, result, ev.BarsReceived))
    assert len(first.spans("moment")) == 6
    assert len(second.spans("moment")) == moments - 6


def without(tmp_path: Path) -> SessionResult:
    result, ledger = replayed(tmp_path, "")
    ledger.close()
    return result


@pytest.mark.parametrize("kind", ["down", "refuses", "silent"])
def test_a_collector_that_takes_nothing_changes_no_book_and_is_said_once(
    kind: str,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if kind == "silent":
        # no request is given up within the session; its threads end with the collector
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "60")
    else:  # nothing is to be waited for
        monkeypatch.setattr(otlp_delivery, "_CLOSE_SECONDS", 60.0)
    with Collector() as collector:
        bad = {"refuses": Fault(status=401), "silent": Fault(delay_seconds=30.0)}
        if kind == "down":
            collector.__exit__(None, None, None)
        else:
            collector.faults.add(*[bad[kind]] * 50)
        begun = time.monotonic()
        result, ledger = replayed(tmp_path, collector.url)
        took = time.monotonic() - begun
    ledger.close()
    plain = without(tmp_path / "plain")
    assert result.state == "completed"
    assert result.fills.equals(plain.fills)
    assert result.equity.equals(plain.equity)
    assert result.closing.to_dict() == plain.closing.to_dict()
    lines = [(line["event"], line.get("reason")) for line in log_of(tmp_path / "state")]
    first = {"down": "ConnectionError", "refuses": "status 401"}
    said = [("telemetry is not delivered", first[kind])] if kind in first else []
    assert lines == [*said, ("telemetry was lost", None)]
    (lost,) = [line["spans"] for line in log_of(tmp_path / "state") if "spans" in line]
    assert lost >= plain.equity.height  # one a moment at least
    assert took < 10.0
    # nothing of each attempt beside it
    assert [each.name for each in caplog.records if each.name.startswith("opentelemetry")] == []


def wait_until(true: Any) -> None:
    end = time.monotonic() + 10.0
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_the_log_says_when_deliveries_fail_and_when_that_is_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "10")
    told: list[tuple[str, dict[str, Any]]] = []
    start = MARKET["timestamp"][0]
    with Collector() as collector, fresh_ledger(tmp_path) as ledger:
        plan = plan_of(DAYS[0], ledger, MARKET, rules())
        collector.faults.add(Fault(status=400), Fault(status=400), path="/v1/traces")
        with telemetry_of(
            collector.url,
            plan,
            is_live=True,
            tell=lambda event, **facts: told.append((event, facts)),
        ) as telemetry:
            for number in range(4):
                with telemetry.moment(Batch(start, start + timedelta(minutes=number), ())):
                    pass
                wait_until(lambda: len(collector.asked("/v1/traces")) == number + 1)  # noqa: B023
            wait_until(lambda: len(told) == 2)
    assert told == [
        ("telemetry is not delivered", {"reason": "status 400"}),
        ("telemetry is delivered again", {}),
        ("telemetry was lost", {"spans": 2}),
    ]
    assert len(collector.spans()) == 2


def test_sampling_is_that_of_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_off")
    with Collector() as collector:
        result, ledger = replayed(tmp_path, collector.url)
    ledger.close()
    assert collector.traces == []
    assert collector.count("moment.duration") == result.equity.height + moments_outside(result)
    assert log_of(tmp_path / "state") == []


def moments_outside(result: SessionResult) -> int:
    """Moments of extended hours, which mark no equity."""
    received = result.tables["session_events"].filter(kind="bars_received")
    return received.height - result.equity.height


def test_off_imports_nothing_and_on_names_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.startswith("opentelemetry")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delitem(sys.modules, "harmony_pipeline.session.otlp_telemetry", raising=False)
    monkeypatch.setitem(sys.modules, "opentelemetry", None)  # importing it fails from now on
    assert without(tmp_path).state == "completed"
    with pytest.raises(ConfigError, match=r"pip install 'harmony-pipeline\[telemetry\]'"):
        replayed(tmp_path / "on", "http://127.0.0.1:9")


def test_a_variable_that_cannot_be_used_is_refused_before_the_first_bar(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "-1")
    with pytest.raises(ConfigError, match=r"OTEL_\*.*max_queue_size"):
        replayed(tmp_path, "http://127.0.0.1:9")


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("collector:4318", "http://host:4318"),
        ("grpc://collector:4317", "http://host:4318"),
        ("http://", "http://host:4318"),
        ("https://me:secret@collector", "OTEL_EXPORTER_OTLP_HEADERS"),
    ],
)
def test_an_address_that_is_none_of_a_collector_is_refused(url: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SessionSettings(telemetry=url)
    assert SessionSettings(telemetry="http://collector:4318").telemetry == "http://collector:4318"
