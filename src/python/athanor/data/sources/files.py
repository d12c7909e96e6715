"""Copies files unmodified from paths, globs, folders and the URLs that fsspec supports."""

import errno
import importlib.util
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, Final, TypeAlias

import fsspec
from fsspec.core import has_magic

from athanor.data.sources.folders.delta import LOG, active_files
from athanor.data.sources.folders.hive import is_partition
from athanor.data.sources.folders.table_formats import find_tables, refusal, require_no_table
from athanor.errors import DataError, NotFoundError, SettingsError
from athanor.system.url_secrets import PERCENT_ENCODE, is_ambiguous, mask_secrets, mask_url

# What is wrong is the folder to copy to, not the input.
_OF_STORAGE: Final = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)

Location: TypeAlias = str | Path | Callable[[], str | Path]
"""A path, a glob, a folder or a URL; or a function that returns one, called when files are fetched."""


def in_package(package: str, path: str) -> Callable[[], Path]:
    """A function that finds a file inside an installed package, without importing the package.

    The function raises NotFoundError if this binary does not contain the package.

    >>> find = in_package("no_such_package", "data/flights.csv.zip")  # declaring it looks for nothing
    >>> find()
    Traceback (most recent call last):
    athanor.errors.NotFoundError: this binary does not contain the package no_such_package; ...
    >>> in_package("numpy", "version.py")().name
    'version.py'
    """

    def find() -> Path:
        spec = importlib.util.find_spec(package)
        if spec is None or not spec.submodule_search_locations:
            raise NotFoundError(
                f"this binary does not contain the package {package}; add it to the binary's requirements"
            )
        return Path(spec.submodule_search_locations[0]) / path

    return find


def copy_files(location: Location, folder: Path, reads_delta: bool = False) -> None:
    """Copies one or more files into a folder, under their paths relative to the given folder or glob.

    From a folder, copies all files below it except hidden ones; from a Delta table its log and the files of its latest
    version. Paths begin with the innermost folders whose names hold columns, such as `year=2012`.

    Args:
        reads_delta: whether a folder may be a Delta table.

    Raises:
        NotFoundError: the location matches no file.
        SettingsError: no installed library reads this kind of URL, or a password in it is not percent-encoded.
        DataError: a file cannot be copied; or the location is a table, or within one, whose log is not read.
    """
    path = str(location() if callable(location) else location)
    if is_ambiguous(path):
        raise SettingsError(f"{mask_url(path)} is ambiguous; {PERCENT_ENCODE}")
    system, root = _open_system(path)
    try:
        if reads_delta and not system.isfile(root) and system.isdir(f"{root}/{LOG}"):
            _copy_delta(system, root, folder)
            return
        found = _find(system, root)
        if not found:
            raise NotFoundError(f"{mask_url(path)}: no such file, and no file in such a folder or glob")
        _copy(system, found, folder)
    except OSError as error:
        if error.errno in _OF_STORAGE:
            raise
        raise DataError(f"{mask_url(path)} cannot be copied: {mask_secrets(str(error), path)}") from None


def _copy(system: Any, files: Mapping[str, str], folder: Path) -> None:
    for name, file in files.items():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        system.get_file(file, str(target))


def _copy_delta(system: Any, root: str, folder: Path) -> None:
    logs = {str(PurePosixPath(file).relative_to(root)): file for file in system.find(f"{root}/{LOG}")}
    _copy(system, {name: file for name, file in logs.items() if not PurePosixPath(name).name.startswith(".")}, folder)
    _copy(system, {name: f"{root}/{name}" for name in active_files(folder)}, folder)


def list_files(folder: Path) -> list[Path]:
    """All files below a folder, sorted by name."""
    return sorted((path for path in folder.rglob("*") if path.is_file()), key=lambda path: name_of(path, folder))


def name_of(path: Path, folder: Path) -> str:
    """A file's path relative to a folder, with forward slashes."""
    return path.relative_to(folder).as_posix()


def is_hidden(name: PurePosixPath) -> bool:
    """Whether a part of the path begins with "." or "_", the convention for files that are not data.

    A folder `_day=1` holds a column that begins with "_".
    """
    return any(part[0] == "." or (part[0] == "_" and not is_partition(part)) for part in name.parts)


def _open_system(path: str) -> tuple[Any, str]:
    try:
        system, root = fsspec.url_to_fs(path)
    except (ImportError, ValueError) as error:
        raise SettingsError(
            f"{mask_url(path)}: no installed library reads this URL ({mask_secrets(str(error), path)}); "
            "use a path, or add the library that fsspec needs for it to the requirements"
        ) from None
    return system, root


def _find(system: Any, root: str) -> Mapping[str, str]:
    """The files at a path, by the names under which to keep them."""
    if system.isfile(root):
        return {_kept_name(root, str(PurePosixPath(root).parent)): root}
    if system.isdir(root):
        base, found = root, system.find(root, detail=True)
        for folder, what in find_tables(map(PurePosixPath, found)):
            raise refusal(folder, what)
        require_no_table(system, [PurePosixPath(base)])
    elif has_magic(root):
        base, found = _fixed_part(root), system.glob(root, detail=True)
        found = {file: about for file, about in found.items() if about["type"] != "directory"}
        require_no_table(system, [PurePosixPath(base), *(PurePosixPath(file).parent for file in found)])
    else:
        return {}
    # fsspec gives a link a type of its own.
    links = [file for file, about in found.items() if about["type"] != "file" and not system.isfile(file)]
    if links:
        raise DataError(f"{links[0]} is not a file, and links to folders are not followed; give the folder itself")
    names = {file: PurePosixPath(file).relative_to(base) for file in found}
    if outside := [file for file, name in names.items() if ".." in name.parts]:
        raise DataError(f"{outside[0]} would be kept outside of its folder; rename it")
    return {_kept_name(file, base): file for file, name in names.items() if not is_hidden(name)}


def _kept_name(file: str, base: str) -> str:
    """The path relative to a folder, or to the one of which that is a partition."""
    kept = PurePosixPath(base)
    while is_partition(kept.name):
        kept = kept.parent
    return str(PurePosixPath(file).relative_to(kept))


def _fixed_part(glob: str) -> str:
    """The part of a glob before its first wildcard."""
    parts = PurePosixPath(glob).parts
    special = next(index for index, part in enumerate(parts) if has_magic(part))
    return str(PurePosixPath(*parts[:special]))
