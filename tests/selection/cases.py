"""The table of cases: edits, and the names that each must and must not select."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Final

import yaml
from selection.edits import Edit, read_edit
from selection.errors import CaseError

KINDS: Final = ("tests", "binaries", "images")
_SPECIAL: Final = frozenset("!*?[")
_BRACES: Final = re.compile(r"\{([^{}]*)\}")
_KEYS: Final = {"name", "edits", "must_not", "because", *KINDS}


@dataclass(frozen=True)
class Selection:
    """Selection of an edit: files of tests, addresses of binaries (and archives), addresses of images."""

    tests: frozenset[str] = frozenset()
    binaries: frozenset[str] = frozenset()
    images: frozenset[str] = frozenset()

    def of(self, kind: str) -> frozenset[str]:
        """One of KINDS."""
        found: frozenset[str] = getattr(self, kind)
        return found


@dataclass(frozen=True)
class Patterns:
    """Describes a set of names by globs; a `*` crosses no `/`, a `**` does. Globs after `!` take away again."""

    globs: tuple[str, ...] = ()

    def resolve(self, universe: Iterable[str], where: str) -> frozenset[str]:
        """The exact set, in the order in which the globs add and take away.

        A plain name needs no file: an edit may add it.

        Raises:
            CaseError: a glob fits no name, or takes away a name that was not there.
        """
        names = frozenset((*universe, *(glob for glob in self.globs if not set(glob) & _SPECIAL)))
        found: frozenset[str] = frozenset()
        for glob in self.globs:
            takes_away = glob.startswith("!")
            fits = frozenset(name for name in (found if takes_away else names) if matches(name, glob.removeprefix("!")))
            if not fits:
                raise CaseError(f"{where}: {glob!r} fits nothing (deleted or mistyped)")
            found = found - fits if takes_away else found | fits
        return found


@dataclass(frozen=True)
class Case:
    """One kind of edit.

    Attributes:
        because: why the selection is right, if that is not obvious.
        must_not: for readers, examples of names that must not be selected; each must exist.
    """

    name: str
    edits: tuple[Edit, ...]
    expected: Mapping[str, Patterns]
    must_not: Mapping[str, Patterns] = field(default_factory=dict)
    because: str = ""


def read_cases(path: Path) -> tuple[Case, ...]:
    """All cases of a file; beside them stand the lists that several of them name.

    Raises:
        CaseError: it does not hold well-formed cases with names of their own.
    """
    said = yaml.safe_load(path.read_text(encoding="utf-8"))
    if not isinstance(said, dict) or not isinstance(said.get("cases"), list):
        raise CaseError(f"{path.name} holds no list of `cases`")
    cases = tuple(_read_case(entry) for entry in said["cases"])
    names = [case.name for case in cases]
    if repeated := {name for name in names if names.count(name) > 1}:
        raise CaseError(f"{path.name} has two cases named {', '.join(sorted(repeated))}")
    return cases


def choose(cases: Sequence[Case], names: Sequence[str]) -> tuple[Case, ...]:
    """The named ones, or all."""
    known = {case.name for case in cases}
    if unknown := set(names) - known:
        raise CaseError(f"no case named {', '.join(sorted(unknown))}; there are: {'; '.join(sorted(known))}")
    return tuple(case for case in cases if not names or case.name in names)


def matches(name: str, glob: str) -> bool:
    """Whether a name with `/` in it fits a glob, part by part."""
    return _match(name.split("/"), glob.split("/"))


def _match(parts: Sequence[str], globs: Sequence[str]) -> bool:
    if not globs:
        return not parts
    if globs[0] == "**":
        return any(_match(parts[start:], globs[1:]) for start in range(len(parts) + 1))
    return bool(parts) and fnmatchcase(parts[0], globs[0]) and _match(parts[1:], globs[1:])


def _read_case(said: Any) -> Case:
    if not isinstance(said, dict) or not {"name", "edits"} <= said.keys() <= _KEYS:
        raise CaseError(f"a case has a name, edits, and no keys but {', '.join(sorted(_KEYS))}; got {said}")
    must_not = said.get("must_not", {})
    if not must_not.keys() <= set(KINDS):
        raise CaseError(f"{said['name']}: must_not has {', '.join(must_not)}; it may have {', '.join(KINDS)}")
    return Case(
        name=said["name"],
        edits=tuple(read_edit(edit) for edit in said["edits"]),
        expected={kind: _read_patterns(said.get(kind, ())) for kind in KINDS},
        must_not={kind: _read_patterns(globs) for kind, globs in must_not.items()},
        because=said.get("because", ""),
    )


def _read_patterns(globs: Iterable[str]) -> Patterns:
    return Patterns(tuple(flatten(globs)))


def spell_out(glob: str) -> Iterable[str]:
    """Each glob that braces stand for, `a{b,c}` for `ab` and `ac`: each must fit something."""
    braces = _BRACES.search(glob)
    if braces is None:
        yield glob
        return
    for alternative in braces[1].split(","):
        yield from spell_out(f"{glob[: braces.start()]}{alternative}{glob[braces.end() :]}")


def flatten(globs: Iterable[Any]) -> Iterable[str]:
    """Globs out of lists of globs: YAML's anchors name a list that several cases share, and put it in as one entry."""
    for glob in globs:
        if isinstance(glob, str):
            yield from spell_out(glob)
        else:
            yield from flatten(glob)
