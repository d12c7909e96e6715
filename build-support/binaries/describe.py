"""Writes the manifest and a bill of materials for each binary beside the binaries."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from binaries.manifest import find_commit, make_manifest
from binaries.materials import make_bill, read_pins
from binaries.pex_file import PexFile

_LOCK = Path("3rdparty/python/default.lock")


def main() -> int:
    parser = argparse.ArgumentParser(prog="./pants manifest", description=__doc__)
    parser.add_argument("--dist", type=Path, default=Path("dist"), help="the folder of the binaries, dist by default")
    dist: Path = parser.parse_args().dist
    pexes = [PexFile(path) for path in sorted(dist.glob("*.pex"))]
    if not pexes:
        print(f"there is no binary in {dist}: run `./pants build`", file=sys.stderr)
        return 2
    pins = read_pins(_LOCK.read_text())
    for pex in pexes:
        (dist / f"{pex.name}.cdx.json").write_text(make_bill(pex, pins))
    manifest = make_manifest(pexes, *find_commit(Path.cwd()))
    (dist / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n")
    print(f"{dist}/manifest.json and {len(pexes)} bills of materials written")
    return 0


if __name__ == "__main__":
    sys.exit(main())
