"""Requirements that an edit of a lock affects: those whose closure holds an entry that changed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

_NAME = r"[A-Za-z0-9][\w.-]*"
# uv's form: `name==1.0 ; marker`, then indented lines of hashes and of comments that name the dependents.
_PIN = re.compile(rf"(?P<name>{_NAME})==\S+( ;.*?)?( \\)?")
_HASH = re.compile(r"    --hash=\w+:[0-9a-f]+( \\)?")
_VIA = re.compile(rf"    # (via |  )(?P<dependent>{_NAME}|-r \S+)")


class UnreadableLockError(Exception):
    """A lock is not in uv's form, so the effect of its edit is unknown."""


@dataclass(frozen=True)
class Lock:
    """The entries of a lock by canonical name, and the names that require each.

    Attributes:
        entries: lines of version, marker and hashes; a universal lock may have several versions of one name.
        dependents: canonical names; an option such as `-r` stands for the requirements file.
    """

    entries: Mapping[str, frozenset[str]]
    dependents: Mapping[str, frozenset[str]]


@dataclass(frozen=True)
class Change:
    """Effect of edits of one lock and its requirements file.

    Attributes:
        entries: names of lock entries that were added, changed or removed.
        affected: requirements, as the file spells them, whose line or closure changed.
        removed: requirements that only the old file has.
    """

    entries: frozenset[str]
    affected: frozenset[str]
    removed: frozenset[str]


def find_change(old: tuple[str, str], new: tuple[str, str]) -> Change:
    """Compares texts of a lock and its requirements file; comments and order do not count.

    Raises:
        UnreadableLockError: A lock is not in uv's form.
    """
    locks = read_lock(old[0]), read_lock(new[0])
    then, now = read_requirements(old[1]), read_requirements(new[1])
    entries = frozenset(_differences(*(lock.entries for lock in locks)))
    reached = _with_dependents(entries, locks)
    affected = _differences(then, now) | {name for name in {*then, *now} if canonical(name) in reached}
    return Change(entries, frozenset(affected & now.keys()), frozenset(affected - now.keys()))


def read_lock(text: str) -> Lock:
    """Reads a lock made by `./pants lock`.

    Raises:
        UnreadableLockError: A line is not in uv's form, or an entry has no hash or no dependent.
    """
    entries: dict[str, set[str]] = {}
    dependents: dict[str, set[str]] = {}
    for pin, lines in _blocks(text):
        hashes = sorted(line.strip(" \\") for line in lines if _HASH.fullmatch(line))
        requiring = [found["dependent"] for line in lines if (found := _VIA.fullmatch(line))]
        if not hashes or not requiring:
            raise UnreadableLockError(f"{pin[0]} has no hash, or no comment that names what requires it")
        name = canonical(pin["name"])
        entries.setdefault(name, set()).add(" ".join((pin[0].rstrip(" \\"), *hashes)))
        dependents.setdefault(name, set()).update(map(canonical, requiring))
    return Lock(*({name: frozenset(found) for name, found in table.items()} for table in (entries, dependents)))


def read_requirements(text: str) -> dict[str, frozenset[str]]:
    """The lines of each requirement, by its name as the file spells it."""
    found: dict[str, set[str]] = {}
    for line in text.splitlines():
        requirement = re.sub(r"(^|\s)#.*", "", line).strip()
        if name := re.match(_NAME, requirement):
            found.setdefault(name[0], set()).add(requirement)
    return {name: frozenset(lines) for name, lines in found.items()}


def canonical(name: str) -> str:
    """The name of a distribution as indexes compare it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _blocks(text: str) -> list[tuple[re.Match[str], list[str]]]:
    """The first line of each entry, with the lines below it."""
    blocks: list[tuple[re.Match[str], list[str]]] = []
    for line in text.splitlines():
        if pin := _PIN.fullmatch(line):
            blocks.append((pin, []))
        elif blocks and line.startswith("    "):
            blocks[-1][1].append(line)
        elif line and not line.startswith("#"):
            raise UnreadableLockError(f"unknown line {line!r}")
    return blocks


def _differences(then: Mapping[str, frozenset[str]], now: Mapping[str, frozenset[str]]) -> set[str]:
    return {name for name in {*then, *now} if then.get(name) != now.get(name)}


def _with_dependents(names: Iterable[str], locks: Iterable[Lock]) -> set[str]:
    """Names and all that require them, transitively, in any of some locks."""
    locks, found, waiting = tuple(locks), set[str](), set(names)
    while waiting:
        found |= waiting
        waiting = {more for name in waiting for lock in locks for more in lock.dependents.get(name, ())} - found
    return found
