"""Commands of trading sessions: live, replayed, and against the simulated exchange; the monitor."""

from functools import partial
from typing import Annotated

import typer

from harmony_pipeline.cli.command_context import Day, To, graph_runner, pipeline_of


def trade(context: typer.Context, date: Day = None) -> None:
    """Run the paper session of a day with the promoted model, supervised: lock, heartbeat, kill
    switch.
    """
    from harmony_pipeline.cli.argument_checks import day_of
    from harmony_pipeline.cli.session_report import print_sessions
    from harmony_pipeline.stages.context import refuse_the_past

    with graph_runner(context, alone=False) as runner:
        refuse_the_past(runner.pipeline)
        day = day_of(runner.pipeline, date)
        runner.trade(day)
        runner.refuse_nothing("paper_session")
    print_sessions(runner.pipeline, [day])


def replay(
    context: typer.Context,
    date: Day = None,
    last: To = None,
    session: Annotated[
        str | None,
        typer.Option(
            "--session", help="run this recorded session again, event by event, and compare"
        ),
    ] = None,
) -> None:
    """Replay a historical day through the session and the simulated exchange, and compare it with
    the backtest; or run a recorded session again and say where it differs.
    """
    if session is not None:
        _replay_recorded(context, session, alone=date is None and last is None)
        return
    from harmony_pipeline.cli.argument_checks import day_of, session_range
    from harmony_pipeline.cli.session_report import print_sessions
    from harmony_pipeline.cli.stage_report import print_stages

    with graph_runner(context) as runner:
        day, end = session_range(runner.pipeline, day_of(runner.pipeline, date), last)
        runner.replay(day, end)
        runner.refuse_nothing("paper_session")
    days = [key for key in runner.partition_keys("paper_session") if day <= key <= end]
    print_sessions(
        runner.pipeline,
        [key for key in days if not runner.results["paper_session"].part(key).nothing],
    )
    print_stages(runner.results)


def _replay_recorded(context: typer.Context, session: str, *, alone: bool) -> None:
    from harmony_pipeline.errors import ConfigError
    from harmony_pipeline.stages.recorded_sessions import replay_recorded

    if not alone:
        raise ConfigError("--session names a day already: leave --date and --to out")
    found = replay_recorded(pipeline_of(context.obj), session)
    typer.echo(found.summary())
    if not found.equal:
        raise typer.Exit(1)


def exchange(
    context: typer.Context,
    date: Day = None,
    last: To = None,
    speed: Annotated[
        float | None,
        typer.Option("--speed", min=0.0, help="1: real time; 0: only by POST /control/step"),
    ] = None,
    port: Annotated[
        int | None, typer.Option("--port", min=0, max=65535, help="on 127.0.0.1; 0: any")
    ] = None,
    new: Annotated[
        bool, typer.Option("--new", help="forget the orders of an earlier run over these days")
    ] = False,
) -> None:
    """Serve a simulated exchange over the lake's bars of a day, in Alpaca's protocols."""
    from harmony_pipeline.cli.argument_checks import day_of, session_range
    from harmony_pipeline.cli.exchange import serve_exchange
    from harmony_pipeline.stages.context import PipelineContext

    pipeline = PipelineContext(context.obj)
    first, end = session_range(pipeline, day_of(pipeline, date), last)
    days = [day for day in pipeline.sessions() if first <= day.isoformat() <= end]
    serve_exchange(context.obj, days, speed=speed, port=port, new=new)


def monitor(
    context: typer.Context,
    session: Annotated[
        str | None,
        typer.Option("--session", help="id or date of a session; default: the newest, followed"),
    ] = None,
    replay: Annotated[
        str | None,
        typer.Option("--replay", help="id or date of a past session, shown as it went"),
    ] = None,
    speed: Annotated[
        float, typer.Option("--speed", min=0.01, help="of --replay; 60: an hour a minute")
    ] = 60.0,
    host: Annotated[
        str, typer.Option("--host", help="address to listen on; only this machine by default")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="0: any")] = 3334,
) -> None:
    """Serve a page about the session that runs, or replay one that has ended."""
    from harmony_pipeline.cli.monitor import serve_monitor

    serve_monitor(
        context.obj,
        session=replay or session,
        replay_speed=speed if replay else None,
        host=host,
        port=port,
    )


def demo(
    context: typer.Context,
    date: Day = None,
    speed: Annotated[
        float | None,
        typer.Option("--speed", min=1.0, help="at most so many times real time"),
    ] = None,
    symbols: Annotated[int, typer.Option("--symbols", min=1, help="at most so many")] = 20,
    monitor: Annotated[
        bool, typer.Option("--monitor/--no-monitor", help="serve the page about the session, too")
    ] = True,
    through_sensor: Annotated[
        bool,
        typer.Option("--through-sensor", help="Dagster's sensor starts the session, by its run"),
    ] = False,
) -> None:
    """Paper-trade a day offline: a simulated exchange, a session with alpaca-py, both books
    compared.
    """
    from harmony_pipeline.cli.demo import demo as run_demo
    from harmony_pipeline.cli.demo import session_process

    start = session_process
    if through_sensor:
        from assets.runner import Runner
        from harmony_pipeline.cli.demo_sensor import session_by_sensor

        start = partial(session_by_sensor, Runner.of)
    agrees = run_demo(
        context.obj, date, speed=speed, symbols=symbols, with_monitor=monitor, start=start
    )
    if not agrees:
        raise typer.Exit(1)
