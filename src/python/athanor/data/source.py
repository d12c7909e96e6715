"""Sources: where a project's raw tables come from and how they become contract columns."""

import hashlib
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from athanor.atomic import place_folder
from athanor.errors import DataError, NotFoundError


@dataclass(frozen=True)
class Transformed:
    """What a transform made of raw tables.

    Attributes:
        frame: one row an example, with exactly the columns of the contract's row and outcome.
        rows_in: rows of the raw main table.
        left_out: how many of these are not in the frame, by reason. `rows_in` less these is the frame's length.
    """

    frame: pd.DataFrame
    rows_in: int
    left_out: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        accounted = len(self.frame) + sum(self.left_out.values())
        if accounted != self.rows_in:
            raise DataError(
                f"the transform read {self.rows_in} rows and accounts for {accounted}; "
                "count every row that it leaves out under a reason, and join without multiplying rows"
            )


@dataclass(frozen=True)
class Source:
    """A project's source, declared by two functions.

    Attributes:
        find: the raw files as they lie now, by name.
        transform: the files as they were kept, by the same names, to one frame.
    """

    find: Callable[[], Mapping[str, Path]]
    transform: Callable[[Mapping[str, Path]], Transformed]


@dataclass(frozen=True)
class Raw:
    """Raw files as they were kept.

    Attributes:
        digest: sha256, in hexadecimal, over names and bytes.
        files: paths below the home, by name.
    """

    digest: str
    files: Mapping[str, Path]


def keep_raw(files: Mapping[str, Path], folder: Path) -> Raw:
    """Copies raw files into `folder/<digest>/`, or finds them there: the same bytes are kept once.

    Raises:
        NotFoundError: a file is not there.
    """
    if absent := [f"{name} ({path})" for name, path in files.items() if not path.is_file()]:
        raise NotFoundError(f"raw files are not there: {', '.join(absent)}")
    digest = _digest(files)
    kept = folder / digest[:16]

    def copy_into(arriving: Path) -> None:
        for name, path in files.items():
            shutil.copyfile(path, arriving / name)

    place_folder(kept, copy_into)
    return Raw(digest, {name: kept / name for name in files})


def _digest(files: Mapping[str, Path]) -> str:
    digest = hashlib.sha256()
    for name, path in sorted(files.items()):
        with path.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
        digest.update(f"{name}\0{content}\n".encode())
    return digest.hexdigest()
