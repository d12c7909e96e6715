"""Makes a home with two registered versions, for docker/verify: `two_versions.py FOLDER`."""

import sys
from pathlib import Path

from integration.versions import Versions

if __name__ == "__main__":
    Versions.make(Path(sys.argv[1]), 2)
