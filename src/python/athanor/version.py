"""The version of the package: of what a person installs, whatever the commit it was built from."""

from typing import Final

VERSION: Final = "0.1.0"
