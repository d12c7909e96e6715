"""System calls of a process, and what a power failure would leave of the files that they write.

The disk is the worst that POSIX allows: without fsync of a file its content is lost, and without fsync of a folder the
names in it are.
"""

import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

_TEMPORARY: Final = ".arriving-"
_STRACE: Final = shutil.which("strace") or ""
_WRITES: Final = ("write", "pwrite64", "writev", "pwritev", "pwritev2", "sendfile", "copy_file_range", "ftruncate")
_SYNCS: Final = ("fsync", "fdatasync")
_RENAMES: Final = ("rename", "renameat", "renameat2")
_LINKS: Final = ("link", "linkat")
_FOLDERS: Final = ("mkdir", "mkdirat")
_REMOVALS: Final = ("unlink", "unlinkat", "rmdir")
_TRACED: Final = ("open", "openat", *_WRITES, *_SYNCS, *_RENAMES, *_LINKS, *_FOLDERS, *_REMOVALS)
_CALL: Final = re.compile(r"(?P<at>\d+\.\d+) (?P<name>\w+)\((?P<arguments>.*)\) += \d+")
_NAMED: Final = re.compile(r'(?:(?:AT_FDCWD|\d+)<(?P<folder>[^>]*)>, )?"(?P<path>(?:[^"\\]|\\.)*)"')
_OPEN: Final = re.compile(r"\d+<(?P<path>/[^>]*)>")


class Call(NamedTuple):
    """A system call that succeeded, and the paths that it names, the target of a rename last."""

    at: float
    name: str
    paths: tuple[Path, ...]
    makes: bool = False


def why_not() -> str | None:
    """Why no process can be traced here; None if one can."""
    if not _STRACE:
        return "no strace: apt-get install strace"
    tried = subprocess.run([_STRACE, "-o", "/dev/null", "true"], check=False, capture_output=True, text=True)
    return f"strace may not trace here: {tried.stderr.strip()}" if tried.returncode else None


def trace(command: Sequence[str], environment: Mapping[str, str], folder: Path) -> list[Call]:
    """Runs a program; the calls of all its threads and children, in their order."""
    options = ["-ff", "-ttt", "-y", "--seccomp-bpf", "-e", f"trace={','.join(_TRACED)}", "-o", str(folder / "calls")]
    ran = subprocess.run([_STRACE, *options, *command], check=False, capture_output=True, text=True, env=environment)
    assert ran.returncode == 0, ran.stderr[-4000:]
    calls = [
        call for path in folder.glob("calls.*") for line in path.read_text().splitlines() if (call := _parse(line))
    ]
    return sorted(calls)


def _parse(line: str) -> Call | None:
    found = _CALL.match(line)
    if found is None:
        return None
    name, arguments = found["name"], found["arguments"]
    if name in (*_WRITES, *_SYNCS):
        opened = [Path(match["path"]) for match in _OPEN.finditer(arguments)]
        # Of a copy, the second is written.
        paths = opened[-1:] if name == "copy_file_range" else opened[:1]
    else:
        paths = [Path(match["folder"] or "", match["path"]) for match in _NAMED.finditer(arguments)]
    makes = name in _FOLDERS or (name in ("open", "openat") and "O_CREAT" in arguments)
    return Call(float(found["at"]), name, tuple(paths), makes) if paths else None


@dataclass
class Disk:
    """What is not safe yet.

    Attributes:
        known: paths that were made.
        unwritten: files whose content, or a part of it, a power failure would take.
        unnamed: files and folders whose name, or its removal, it would take.
        problems: names that were given to content that was not safe.
    """

    known: set[Path] = field(default_factory=set)
    unwritten: set[Path] = field(default_factory=set)
    unnamed: set[Path] = field(default_factory=set)
    problems: list[str] = field(default_factory=list)

    def forget(self) -> None:
        """Takes all so far as safe."""
        self.unwritten, self.unnamed, self.problems = set(), set(), []

    def find_problems(self, below: Path) -> list[str]:
        """What was wrong, and what would be lost now, below a folder. Locks and logs may be."""
        unwritten, unnamed = (
            [path for path in _below(paths, below) if path.suffix not in (".lock", ".log")]
            for paths in (self.unwritten, self.unnamed)
        )
        lost = [f"the content of {path} is not flushed" for path in unwritten]
        lost += [f"{path.parent} is not flushed after {path.name}" for path in unnamed]
        return [*self.problems, *lost]

    def apply(self, call: Call) -> None:
        path = call.paths[-1]
        if call.name in _WRITES:
            self.unwritten.add(path)
        elif call.name in _SYNCS:
            self.unwritten.discard(path)
            self.unnamed = {named for named in self.unnamed if named.parent != path}
        elif call.name in (*_RENAMES, *_LINKS):
            self._name(call.paths[0], path, keeps=call.name in _LINKS)
        elif call.name in _REMOVALS:
            self._remove(path)
        elif call.makes and path not in self.known:
            self.known.add(path)
            self.unnamed.add(path)

    def _name(self, old: Path, new: Path, keeps: bool) -> None:
        unsafe = sorted((*_below(self.unwritten, old), *_below(self.unnamed - {old}, old)))
        # What is below a temporary name is looked for by none.
        if unsafe and not any(folder.name.startswith(_TEMPORARY) for folder in new.parents):
            self.problems.append(f"{new} was named before {', '.join(map(str, unsafe))} was flushed")
        for paths in (self.known, self.unwritten, self.unnamed):
            moved = set(_below(paths, old))
            paths.update(new / path.relative_to(old) for path in moved)
            if not keeps:
                paths.difference_update(moved)
        self.unnamed.add(new)

    def _remove(self, path: Path) -> None:
        was_safe = path in self.known and path not in self.unnamed
        for paths in (self.known, self.unwritten, self.unnamed):
            paths.discard(path)
        # A journal of SQLite's that came back would undo what was committed.
        if was_safe and path.name.endswith("-journal"):
            self.unnamed.add(path)


def _below(paths: set[Path], folder: Path) -> Iterator[Path]:
    return iter(sorted(path for path in paths if path.is_relative_to(folder)))
