"""Commands that write files for the user: a settings file from bars, and code of one's own."""

from pathlib import Path
from typing import Annotated

import typer

from harmony_pipeline.cli.invocation import as_typed


def init_command(
    data: Annotated[
        Path, typer.Argument(help="a folder or file of bars: .csv, .csv.gz, .zip or .parquet")
    ],
    output: Annotated[
        Path, typer.Option("--output", help="settings file to write; one that exists is left alone")
    ] = Path("harmony.toml"),
    timeframe: Annotated[
        str | None,
        typer.Option("--timeframe", help="length of a bar, like 1Min, 1Hour or 1Day; else guessed"),
    ] = None,
    timestamp_format: Annotated[
        str | None,
        typer.Option(
            "--timestamp-format",
            help="how times are written, like '%m/%d/%Y %H:%M', where they can be read in two ways",
        ),
    ] = None,
    column: Annotated[
        list[str] | None,
        typer.Option(
            "--column",
            help="which column of the files holds what, like 'close=Settle' or 'volume=none';"
            " repeat it for others",
            metavar="OURS=THEIRS",
        ),
    ] = None,
    symbol_from_filename: Annotated[
        str | None,
        typer.Option(
            "--symbol-from-filename",
            help="regular expression whose group 1 is the symbol in a file's name, like"
            " '^([a-z]+)_'",
        ),
    ] = None,
) -> None:
    """Read your own bars, guess their market, and write a settings file that runs."""
    from harmony_pipeline.cli.init import Known, columns_of, init

    columns = columns_of(column or ())
    known = Known(timeframe, timestamp_format, columns, symbol_from_filename)
    written = init(data, output, known)
    for sentence in written.sentences:
        typer.echo(sentence)
    typer.echo(f"wrote {written.file}: look at its guesses\nnext: {written.following}")


new_app = typer.Typer(
    no_args_is_help=True,
    help="Write a strategy, feature or scanner of your own, with its test and page, that runs.",
)
NewName = Annotated[
    str, typer.Argument(help="of the module and the setting, like my_rule", metavar="NAME")
]


@new_app.command("strategy")
def new_strategy(
    context: typer.Context,
    name: NewName,
    machine: Annotated[
        bool, typer.Option("--machine", help="one that receives a bar at a time")
    ] = False,
) -> None:
    """Write a strategy beside the settings file: features in, side and strength out."""
    _scaffold(context, "machine" if machine else "strategy", name, tuple(context.obj.strategies))


@new_app.command("feature")
def new_feature(context: typer.Context, name: NewName) -> None:
    """Write an indicator beside the settings file: one compiled kernel, one column a parameter."""
    _scaffold(context, "feature", name)


@new_app.command("scanner")
def new_scanner(context: typer.Context, name: NewName) -> None:
    """Write a scanner beside the settings file: it scores symbols and gives reasons."""
    _scaffold(context, "scanner", name)


def _scaffold(context: typer.Context, what: str, name: str, taken: tuple[str, ...] = ()) -> None:
    from harmony_pipeline.cli.scaffold import scaffold

    settings = context.obj
    written = scaffold(what, name, settings.folder, taken, settings.features.names)
    for file in written.files:
        typer.echo(f"wrote {file}")
    following = [as_typed(text) for text in written.following]
    where, lines = _place_of(written.lines, settings.file)
    typer.echo(f"\nadd to {where}:\n\n{lines}\n\nnext:")
    for text in (f"python -m pytest {written.files[1]}", *following):
        typer.echo(f"  {text}")


def _place_of(lines: str, file: Path) -> tuple[str, str]:
    """Where the lines of a table belong, and those to write there: a file states a table once."""
    import tomllib

    header, _, keys = lines.partition("\n")
    table = header.strip("[]")
    if file.is_file() and table in tomllib.loads(file.read_text(encoding="utf-8")):
        return f"the table {header} of {file}, in place of keys of the same name", keys
    return str(file), lines
