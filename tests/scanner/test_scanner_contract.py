"""The three scanners keep the contract."""

from harmony_pipeline.scanner.base import Scanner
from harmony_pipeline.scanner.registry import build_scanner
from harmony_pipeline.scanner.settings import ScannerSettings
from harmony_pipeline.testing.scanner_contract import ScannerContract


class TestPremarketScanner(ScannerContract):
    def scanner(self) -> Scanner:
        return build_scanner(ScannerSettings(maximum_selections=3))


class TestPremarketScannerByRelativeVolume(ScannerContract):
    def scanner(self) -> Scanner:
        return build_scanner(
            ScannerSettings(
                rank_by="relative_volume",
                maximum_float=6e6,
                minimum_absolute_gap=None,
                require_premarket=False,
            )
        )


class TestFixedList(ScannerContract):
    def scanner(self) -> Scanner:
        return build_scanner(
            ScannerSettings(
                use="harmony_pipeline.scanner.fixed:FixedList",
                symbols=("HH", "DD", "EE", "AA"),
                maximum_selections=3,
            )
        )


class TestQueryScanner(ScannerContract):
    def scanner(self) -> Scanner:
        query = (
            "select symbol, relative_volume as score from candidates where absolute_gap > 0.01 and"
            " relative_volume is not null"
        )
        return build_scanner(
            ScannerSettings(
                use="harmony_pipeline.scanner.query:QueryScanner", query=query, maximum_selections=3
            )
        )
