"""The user that records name."""

import getpass
import os


def user_name() -> str:
    """Name of the current user; its number if it has no name, as in a container."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"
