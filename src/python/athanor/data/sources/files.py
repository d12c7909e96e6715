"""Files wherever they lie, copied as they are: paths, globs, folders and whatever fsspec has a URL for."""

import importlib.util
import re
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, TypeAlias

import fsspec
from fsspec.core import has_magic

from athanor.errors import DataError, NotFoundError, SettingsError

Location: TypeAlias = str | Path | Callable[[], str | Path]
"""A path, a glob, a folder or a URL; or a function that finds one, called when the files are fetched."""


def in_package(package: str, path: str) -> Callable[[], Path]:
    """A file that an installed package carries. The package is found, never imported, when the file is fetched.

    The function raises NotFoundError if this binary has no such package.
    """

    def find() -> Path:
        spec = importlib.util.find_spec(package)
        if spec is None or not spec.submodule_search_locations:
            raise NotFoundError(f"the package {package} is not in this binary; build it with its requirement")
        return Path(spec.submodule_search_locations[0]) / path

    return find


def copy_files(location: Location, folder: Path) -> None:
    """Copies one file or many into a folder, under their names below the folder or glob that was given.

    Of a folder, all files below it are taken, but for hidden ones.

    Raises:
        NotFoundError: there is no such file, or none in the folder.
        SettingsError: no library here reads such a URL.
        DataError: a file cannot be copied.
    """
    path = str(location() if callable(location) else location)
    system, root = _open_system(path)
    try:
        found = _find(system, root)
        if not found:
            raise NotFoundError(f"{mask_secrets(path)}: no such file, and no folder or glob with one")
        for name, file in found.items():
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            system.get_file(file, str(target))
    except OSError as error:
        raise DataError(f"{mask_secrets(path)} cannot be copied: {mask_secrets(str(error))}") from None


def mask_secrets(words: str) -> str:
    """The words with URLs that tell no password, and nothing behind "?" where a signature may stand."""
    return re.sub(r"(://[^\s?]*)\?\S*=\S*", r"\1?***", re.sub(r"://[^/\s]*@", "://***@", words))


def list_files(folder: Path) -> list[Path]:
    """All files below a folder, in the order of their names."""
    return sorted((path for path in folder.rglob("*") if path.is_file()), key=lambda path: name_of(path, folder))


def name_of(path: Path, folder: Path) -> str:
    """A file's name below a folder, the same on every system."""
    return path.relative_to(folder).as_posix()


def is_hidden(name: PurePosixPath) -> bool:
    """Whether a part begins with a dot or an underscore, as writers mark what is not data."""
    return any(part.startswith((".", "_")) for part in name.parts)


def _open_system(path: str) -> tuple[Any, str]:
    try:
        system, root = fsspec.url_to_fs(path)
    except (ImportError, ValueError) as error:
        raise SettingsError(
            f"{mask_secrets(path)}: nothing here reads such a URL ({mask_secrets(str(error))}); "
            "use a path, or add the library that fsspec needs to the requirements"
        ) from None
    return system, root


def _find(system: Any, root: str) -> Mapping[str, str]:
    """The files at a path, by the names under which they are kept."""
    if system.isfile(root):
        return {PurePosixPath(root).name: root}
    if system.isdir(root):
        base, found = root, system.find(root, detail=True)
    elif has_magic(root):
        base, found = _fixed_part(root), system.glob(root, detail=True)
        found = {file: about for file, about in found.items() if about["type"] != "directory"}
    else:
        return {}
    # A link has another type than what it leads to.
    links = [file for file, about in found.items() if about["type"] != "file" and not system.isfile(file)]
    if links:
        raise DataError(f"{links[0]} is no file, and a link to a folder is not followed; name the folder itself")
    names = {file: PurePosixPath(file).relative_to(base) for file in found}
    if outside := [file for file, name in names.items() if ".." in name.parts]:
        raise DataError(f"{outside[0]} would be kept outside of its folder; rename it")
    return {str(name): file for file, name in names.items() if not is_hidden(name)}


def _fixed_part(glob: str) -> str:
    """The folder that a glob's first special character is below."""
    parts = PurePosixPath(glob).parts
    special = next(index for index, part in enumerate(parts) if has_magic(part))
    return str(PurePosixPath(*parts[:special]))
