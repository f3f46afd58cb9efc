"""From `scanner.use` to a scanner."""

from importlib import import_module

from harmony_pipeline.errors import ConfigError
from harmony_pipeline.scanner.base import Scanner
from harmony_pipeline.scanner.settings import ScannerSettings


def build_scanner(settings: ScannerSettings) -> Scanner:
    """The scanner that `settings.use` names as module:Class. Raises ConfigError when the name leads nowhere or to something else."""
    module, _, attribute = settings.use.partition(":")
    if not module or not attribute:
        raise ConfigError(f"scanner.use is '{settings.use}': write an import path like harmony_pipeline.scanner.premarket:PremarketScanner")
    try:
        found = getattr(import_module(module), attribute)
    except ImportError as error:
        raise ConfigError(f"scanner.use is '{settings.use}', but {module} cannot be imported ({error}): correct the name or install the package") from error
    except AttributeError:
        raise ConfigError(f"scanner.use is '{settings.use}', but {module} has no {attribute}: correct the name after the colon") from None
    if not (isinstance(found, type) and issubclass(found, Scanner)):
        raise ConfigError(f"scanner.use is '{settings.use}', which is no Scanner: derive the class from harmony_pipeline.scanner.base.Scanner")
    return found(settings)
