"""The token of a Ray cluster: whoever has it may run anything there. It lies in a file: an argument could be seen."""

import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from athanor.errors import SettingsError
from athanor.system.atomic import create_file

VARIABLE: Final = "ATHANOR_RAY_TOKEN_FILE"
_BYTES: Final = 32


def write_ray_token(file: Path) -> None:
    """Makes a token, for its owner alone. Raises FileExistsError if there is a file already."""
    create_file(file, secrets.token_urlsafe(_BYTES).encode())


def read_ray_token(file: Path | None) -> Path:
    """The absolute path of the file with the token.

    Args:
        file: with nothing but the token; that of the environment variable ATHANOR_RAY_TOKEN_FILE when not given.

    Raises:
        SettingsError: there is no file, or nothing in it.
    """
    found = file or (Path(os.environ[VARIABLE]) if os.environ.get(VARIABLE) else None)
    if found is None:
        raise SettingsError(f"a Ray cluster lets nobody in without its token; give --ray-token-file, or set {VARIABLE}")
    try:
        is_empty = not found.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{found} cannot be read: {error}; copy the head's file of its token there") from None
    if is_empty:
        raise SettingsError(f"{found} is empty; copy the head's file of its token there")
    return found.absolute()


def ray_authentication(file: Path | None) -> Mapping[str, str]:
    """What Ray reads of its token when it is imported, as environment variables. Raises as `read_ray_token` does."""
    return {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(read_ray_token(file))}
