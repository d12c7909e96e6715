"""Content of a PEX file, read without running it."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from email.message import Message
from email.parser import Parser
from functools import cached_property
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name, parse_wheel_filename

MB = 1_000_000


@dataclass(frozen=True)
class Distribution:
    """One library inside a PEX.

    Attributes:
        name, version: the name in its canonical form.
        size: bytes in the PEX.
        metadata: its author's statements (PEP 566).
    """

    name: str
    version: str
    wheel: str
    size: int
    metadata: Message


@dataclass(frozen=True)
class PexFile:
    """One PEX: a file, or a folder that holds each library as a file (PEX calls these layouts zipapp and packed)."""

    path: Path

    @property
    def name(self) -> str:
        return self.path.stem

    @property
    def size(self) -> int:
        files = [self.path] if self.path.is_file() else self.path.rglob("*")
        return sum(file.stat().st_size for file in files)

    @property
    def sha256(self) -> str:
        with self.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    @property
    def code_digest(self) -> str:
        return str(self.info["code_hash"])

    @property
    def distributions_digest(self) -> str:
        """As `--version` prints it: see athanor/system/code/binary.py."""
        lines = (f"{name} {digest}\n" for name, digest in sorted(self.info["distributions"].items()))
        return hashlib.sha256("".join(lines).encode()).hexdigest()

    @cached_property
    def info(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((_root(self.path) / "PEX-INFO").read_text())
        return found

    @cached_property
    def distributions(self) -> tuple[Distribution, ...]:
        """Sorted by name."""
        read = _read_folder if self.path.is_dir() else _read_file
        return tuple(sorted(read(self.path, self.info["distributions"]), key=lambda found: found.name))


def _root(path: Path) -> Path | zipfile.Path:
    return path if path.is_dir() else zipfile.Path(path)


def _read_folder(path: Path, wheels: Iterable[str]) -> Iterator[Distribution]:
    for wheel in wheels:
        with zipfile.ZipFile(path / ".deps" / wheel) as archive:
            yield _read(wheel, archive, archive.infolist())


def _read_file(path: Path, wheels: Iterable[str]) -> Iterator[Distribution]:
    with zipfile.ZipFile(path) as archive:
        members: dict[str, list[zipfile.ZipInfo]] = {}
        for member in archive.infolist():
            match member.filename.split("/"):
                case [".deps", wheel, _, *_]:
                    members.setdefault(wheel, []).append(member)
        for wheel in wheels:
            yield _read(wheel, archive, members[wheel])


def _read(wheel: str, archive: zipfile.ZipFile, members: Iterable[zipfile.ZipInfo]) -> Distribution:
    name, version, _, _ = parse_wheel_filename(wheel)
    size = sum(member.compress_size for member in members)
    return Distribution(canonicalize_name(name), str(version), wheel, size, _metadata(wheel, archive, members))


def _metadata(wheel: str, archive: zipfile.ZipFile, members: Iterable[zipfile.ZipInfo]) -> Message:
    for member in members:
        match member.filename.removeprefix(f".deps/{wheel}/").split("/"):
            case [folder, "METADATA"] if folder.endswith(".dist-info"):
                return Parser().parsestr(archive.read(member).decode(errors="replace"), headersonly=True)
    return Message()
