"""The token of a Ray cluster: whoever has it may run anything there. It lies in a file: an argument could be seen."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from athanor.errors import SettingsError

VARIABLE: Final = "ATHANOR_RAY_TOKEN_FILE"


def ray_authentication(file: Path | None) -> Mapping[str, str]:
    """What Ray reads of its token when it is imported, as environment variables.

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
        raise SettingsError(f"{found} is no file with a Ray token that can be read: {error}") from None
    if is_empty:
        raise SettingsError(f"{found} is empty; it must hold the token that the head node was started with")
    return {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(found.absolute())}
