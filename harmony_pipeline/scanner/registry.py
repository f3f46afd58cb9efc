"""The scanner that `scanner.use` names."""

from harmony_pipeline.errors import ConfigError
from harmony_pipeline.import_paths import import_object
from harmony_pipeline.scanner.base import Scanner
from harmony_pipeline.scanner.settings import ScannerSettings


def build_scanner(settings: ScannerSettings) -> Scanner:
    """The scanner that `settings.use` names as module:Class. Raises ConfigError when the name leads
    nowhere or to something else.
    """
    found = import_object(settings.use, "scanner.use")
    if not (isinstance(found, type) and issubclass(found, Scanner)):
        raise ConfigError(
            f"scanner.use = '{settings.use}': is no Scanner: derive the class from"
            " harmony_pipeline.scanner.base.Scanner"
        )
    return found(settings)
