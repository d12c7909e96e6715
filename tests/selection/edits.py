"""Edits that cases make. They are exact: an edit that no longer fits the tree is an error, not a passing case."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from selection.errors import CaseError

# They change a file's content, which Pants compares, but not its meaning.
_REMARKS: Final = {".css": "/* edited */", ".html": "<!-- edited -->", ".jinja": "{# edited #}", ".md": "Edited."}
_SLASHES: Final = frozenset({".proto", ".js"})


class Edit(Protocol):
    """One textual operation on one file; paths are from the root of the tree."""

    def apply(self, root: Path) -> None:
        """Makes the edit. Raises CaseError if it does not fit the tree."""


@dataclass(frozen=True)
class Append:
    """Appends a line; a remark in the file's language unless a text is given."""

    path: str
    text: str | None = None

    def apply(self, root: Path) -> None:
        file = _existing(root, self.path)
        with file.open("a", encoding="utf-8") as stream:
            stream.write(f"{self.text if self.text is not None else remark(file)}\n")


@dataclass(frozen=True)
class Replace:
    """Replaces one text, which the file must hold exactly once, with another."""

    path: str
    old: str
    new: str

    def apply(self, root: Path) -> None:
        file = _existing(root, self.path)
        before = file.read_text(encoding="utf-8")
        if (found := before.count(self.old)) != 1:
            raise CaseError(f"{self.path} holds {self.old!r} {found} times; exactly once is allowed: correct the case")
        file.write_text(before.replace(self.old, self.new), encoding="utf-8")


@dataclass(frozen=True)
class Upgrade:
    """Gives a distribution of a lock a later version, in each of its entries."""

    path: str
    distribution: str

    def apply(self, root: Path) -> None:
        file = _existing(root, self.path)
        pin = rf"^({re.escape(self.distribution)}==\S+)"
        after, found = re.subn(pin, r"\1.post1", file.read_text(encoding="utf-8"), flags=re.MULTILINE)
        if not found:
            raise CaseError(f"{self.path} has no entry of {self.distribution}; correct the case")
        file.write_text(after, encoding="utf-8")


@dataclass(frozen=True)
class Write:
    """Writes a new file."""

    path: str
    text: str

    def apply(self, root: Path) -> None:
        file = root / self.path
        if file.exists():
            raise CaseError(f"{self.path} exists; `write` makes a new file: use `append` or `replace`")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(self.text, encoding="utf-8")


@dataclass(frozen=True)
class Rename:
    """Renames a file."""

    path: str
    to: str

    def apply(self, root: Path) -> None:
        target = root / self.to
        target.parent.mkdir(parents=True, exist_ok=True)
        _existing(root, self.path).rename(target)


@dataclass(frozen=True)
class Delete:
    """Deletes a file."""

    path: str

    def apply(self, root: Path) -> None:
        _existing(root, self.path).unlink()


_BY_KEY: Final[Mapping[str, type[Append | Replace | Upgrade | Write | Rename | Delete]]] = {
    "append": Append,
    "replace": Replace,
    "upgrade": Upgrade,
    "write": Write,
    "rename": Rename,
    "delete": Delete,
}


def read_edit(said: Mapping[str, str]) -> Edit:
    """The edit that a mapping describes: the operation's name with the path, and the operation's other arguments."""
    keys = _BY_KEY.keys() & said.keys()
    if len(keys) != 1:
        raise CaseError(f"{dict(said)} must name exactly one of {', '.join(_BY_KEY)}")
    (key,) = keys
    rest = {name: value for name, value in said.items() if name != key}
    try:
        return _BY_KEY[key](said[key], **rest)
    except TypeError as error:
        raise CaseError(f"{dict(said)} is not a valid {key}: {error}") from error


def remark(file: Path) -> str:
    """A comment in the language of a file."""
    if file.suffix in _SLASHES:
        return "// edited"
    return _REMARKS.get(file.suffix, "# edited")


def _existing(root: Path, path: str) -> Path:
    file = root / path
    if not file.is_file():
        raise CaseError(f"{path} is not a file of the tree; correct the case")
    return file
