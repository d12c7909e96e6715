"""Names of services."""

import re
from collections.abc import Sequence
from typing import Final

from athanor.model_names import is_exact

DEFAULT_SERVICE: Final = "models"

# Files are named by it: with other dots, the state of one service could be the settings of another.
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}(\.v[0-9]{1,4})?")
# Its token would be in the file of the cluster's.
_RESERVED: Final = "ray"


def name_service(models: Sequence[str]) -> str:
    """The name of a service that was given none: its model's if it serves one by name."""
    return models[0] if len(models) == 1 and is_exact(models[0]) else DEFAULT_SERVICE


def check_service(name: str) -> str:
    """Raises ValueError if it cannot be the name of a service."""
    if name == _RESERVED or not _NAME.fullmatch(name):
        raise ValueError(
            "cannot be the name of a service; give up to 63 letters, digits, _ and -, first a letter or digit, but not"
            f" {_RESERVED}"
        )
    return name
