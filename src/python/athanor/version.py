"""Version of the package, whatever commit it was built from."""

from typing import Final

VERSION: Final = "0.1.0"
