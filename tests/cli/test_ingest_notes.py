"""What an ingest remarks on is printed as it is: a setting in brackets is no style, and a file's
name moves no cursor.
"""

import pytest

from harmony_pipeline.cli.ingest_report import print_ingest


@pytest.mark.parametrize(
    "note",
    [
        "- set [market.files] price_scale",
        "- [/red] AAA.csv was not read",
        "- [bold]AAA[/bold].csv is empty",
    ],
)
def test_brackets_of_a_note_are_printed(capsys: pytest.CaptureFixture[str], note: str) -> None:
    print_ingest({"rows received": 1, "notes": note}, {})
    assert note in capsys.readouterr().out.splitlines()


def test_control_characters_of_a_file_name_are_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    print_ingest({"rows received": 1, "notes": "- a\x1b[2Jb.csv is empty"}, {})
    assert "- a\\x1b[2Jb.csv is empty" in capsys.readouterr().out
