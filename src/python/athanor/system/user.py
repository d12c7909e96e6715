"""Who does it, for records."""

import getpass
import os


def user_name() -> str:
    """The name of the user, or its number where it has none, as in a container."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"
