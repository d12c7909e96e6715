"""Makes every lock from its requirements, and checks locks."""

from __future__ import annotations

import argparse
import hashlib
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from uv import find_uv_bin

# uv's header would name the command line, and the last two the package index of the machine.
UV_OPTIONS = (
    "--universal",
    "--generate-hashes",
    "--quiet",
    "--no-header",
    "--no-emit-index-url",
    "--no-emit-find-links",
)


@dataclass(frozen=True)
class Lock:
    """One lock, its requirements, and the oldest Python it serves; paths from the repository's root."""

    requirements: str
    lock: str
    python: str = "3.11"
    options: tuple[str, ...] = ()


def _tool(name: str, python: str = "3.11", *options: str) -> Lock:
    return Lock(f"3rdparty/tools/{name}.txt", f"3rdparty/tools/{name}.lock", python, options)


LOCKS = (
    Lock("3rdparty/python/requirements.txt", "3rdparty/python/default.lock"),
    Lock("3rdparty/benchmarks/data-peers.txt", "3rdparty/benchmarks/data-peers.lock"),
    Lock("3rdparty/benchmarks/serving-peers.txt", "3rdparty/benchmarks/serving-peers.lock"),
    Lock("3rdparty/tests/serving-clients.txt", "3rdparty/tests/serving-clients.lock"),
    _tool("binaries"),
    _tool("dockerfile"),
    _tool("locks"),
    _tool("mypy"),
    _tool("pants", "3.9"),
    _tool("pants-plugins", "3.9"),
    _tool("pex", "3.9", "--no-deps"),
    _tool("pytest", "3.9"),
    _tool("ruff"),
    _tool("workflows"),
)


def header(requirements: str, text: str) -> str:
    """The first line of a lock: it ties the lock to the text of its requirements."""
    return f"# Made by `./pants lock` from {requirements}, sha256 {hashlib.sha256(text.encode()).hexdigest()}\n"


def problems(lock: Lock, requirements_text: str, lock_text: str) -> Iterator[str]:
    """A sentence for each problem of a lock; needs no network."""
    if not lock_text.startswith(header(lock.requirements, requirements_text)):
        yield f"{lock.lock} was made from another {lock.requirements}: run `./pants lock`"
    if re.search(r"://|^\s*--(?!hash=)", lock_text, re.MULTILINE):
        yield f"{lock.lock} names an address or an option of the installer"

    versions: dict[str, list[str]] = {}
    for entry in _entries(lock_text):
        text, _, hashes = entry.partition("--hash=")
        pin = Requirement(text)
        if not re.fullmatch(r"==[^,*]+", str(pin.specifier)):
            yield f"{lock.lock} does not pin {pin.name} to one version"
            continue
        if not re.match(r"sha256:[0-9a-f]{64}(\s|$)", hashes):
            yield f"{lock.lock} has no hash of {pin.name}"
        versions.setdefault(canonicalize_name(pin.name), []).append(str(pin.specifier).removeprefix("=="))

    for entry in _entries(requirements_text):
        wanted = Requirement(entry)
        found = versions.get(canonicalize_name(wanted.name), [])
        if not any(wanted.specifier.contains(version, prereleases=True) for version in found):
            yield f"{lock.lock} does not satisfy {wanted}"


def disagreements(here: str, there: str) -> list[str]:
    """The packages that two locks pin to different versions on CPython 3.11: one process may load both."""
    ours, theirs = _versions(here), _versions(there)
    return [
        f"{name} is {version} here and {theirs[name]} there"
        for name, version in ours.items()
        if theirs.get(name, version) != version
    ]


def _versions(lock_text: str) -> dict[str, str]:
    environment = {"python_version": "3.11", "python_full_version": "3.11.0"}
    pins = [Requirement(entry.partition("--hash=")[0]) for entry in _entries(lock_text)]
    return {
        canonicalize_name(pin.name): str(pin.specifier).removeprefix("==")
        for pin in pins
        if pin.marker is None or pin.marker.evaluate(environment)
    }


def _entries(text: str) -> Iterator[str]:
    """The requirements in a text: one line each, without comments and options."""
    for line in re.sub(r"\\\n", " ", text).splitlines():
        entry = re.sub(r"(^|\s)#.*", "", line).strip()
        if entry and not entry.startswith("-"):
            yield entry


def make(lock: Lock, root: Path, arguments: list[str]) -> None:
    """Makes one lock. Existing pins stay, unless arguments of uv, such as `--upgrade`, change them."""
    target = root / lock.lock
    # A draft beside the lock: an interrupted run leaves the old one.
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".lock-") as folder:
        draft = Path(folder) / target.name
        if target.exists():
            draft.write_text(target.read_text())
        command = [find_uv_bin(), "pip", "compile", lock.requirements, f"--output-file={draft}"]
        command += [*UV_OPTIONS, f"--python-version={lock.python}", *lock.options, *arguments]
        subprocess.run(command, cwd=root, check=True, stdout=subprocess.DEVNULL)
        draft.write_text(header(lock.requirements, (root / lock.requirements).read_text()) + draft.read_text())
        draft.replace(target)


def main() -> int:
    parser = argparse.ArgumentParser(prog="./pants lock", description=__doc__)
    parser.add_argument("--only", metavar="NAME", help="one lock, such as default or mypy")
    parser.add_argument("--upgrade", action="store_true", help="upgrade all packages")
    parser.add_argument("--upgrade-package", metavar="NAME", action="append", default=[], help="upgrade one package")
    options = parser.parse_args()

    chosen = [lock for lock in LOCKS if options.only in (None, Path(lock.lock).stem)]
    if not chosen:
        parser.error(f"unknown lock {options.only}; choose from {', '.join(Path(lock.lock).stem for lock in LOCKS)}")
    arguments = ["--upgrade"] * options.upgrade + [f"--upgrade-package={name}" for name in options.upgrade_package]
    for lock in chosen:
        print(f"{lock.requirements} -> {lock.lock}", flush=True)
        try:
            make(lock, Path.cwd(), arguments)
        except subprocess.CalledProcessError as error:
            return error.returncode  # uv has printed the reason
    return 0


if __name__ == "__main__":
    sys.exit(main())
