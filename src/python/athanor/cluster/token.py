"""The token of a Ray cluster. Its bearer may run any code there, so it lies in a file: others see arguments."""

import os
import secrets
from pathlib import Path
from typing import Final

from athanor.errors import SettingsError
from athanor.system.atomic import create_file

VARIABLE: Final = "ATHANOR_RAY_TOKEN_FILE"
_BYTES: Final = 32


def write_ray_token(file: Path) -> Path:
    """Makes a token, for its owner alone. Raises FileExistsError if the file is there already; returns it."""
    create_file(file, secrets.token_urlsafe(_BYTES).encode())
    return file


def find_ray_token(file: Path | None) -> Path:
    """Returns the absolute path of the file that holds the token.

    Args:
        file: holds the token and nothing else; by default the file that ATHANOR_RAY_TOKEN_FILE names.

    Raises:
        SettingsError: neither names a file, or the file cannot be read or is empty.
    """
    found = file or (Path(os.environ[VARIABLE]) if os.environ.get(VARIABLE) else None)
    if found is None:
        raise SettingsError(f"a Ray cluster asks for its token; give --ray-token-file, or set {VARIABLE}")
    try:
        is_empty = not found.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{found} cannot be read: {error}; copy the head's token file there") from None
    if is_empty:
        raise SettingsError(f"{found} is empty; copy the head's token file there")
    return found.absolute()
