"""What a period was last read from, so that unchanged files are not read again.

A mark is a convenience and never the truth: it holds only together with the very rows that the reading left behind (their content
hash). Losing the file of marks, or the lake, costs one more reading.
"""

import json
from pathlib import Path

from harmony_pipeline.files import write_text


class SourceFingerprints:
    """Marks by period key, kept in one small file of the state folder."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def of(self, period: str) -> str | None:
        """The mark that was last set."""
        return self._all().get(period)

    def set(self, period: str, mark: str) -> None:
        """Remember a mark; the file is replaced whole."""
        marks = {**self._all(), period: mark}
        write_text(self.file, json.dumps(marks, indent=0, sort_keys=True))

    def _all(self) -> dict[str, str]:
        try:
            marks: dict[str, str] = json.loads(self.file.read_text())
        except (OSError, ValueError):
            return {}
        return marks
