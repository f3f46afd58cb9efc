"""What a period was last read from, so that unchanged files are not read again.

A fingerprint holds only together with the rows that the reading left in the lake (their content
hash is part of it). Losing this file, or the lake, costs one more reading.
"""

import json
from pathlib import Path

from harmony_pipeline.files import write_text


class SourceFingerprints:
    """Fingerprints by period key, kept in one small file of the state folder."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def of(self, period: str) -> str | None:
        """The fingerprint that was last set."""
        return self._all().get(period)

    def set(self, period: str, fingerprint: str) -> None:
        """Remember a fingerprint; the file is replaced whole."""
        known = {**self._all(), period: fingerprint}
        write_text(self.file, json.dumps(known, indent=0, sort_keys=True))

    def _all(self) -> dict[str, str]:
        try:
            known: dict[str, str] = json.loads(self.file.read_text())
        except (OSError, ValueError):
            return {}
        return known
