"""Contracts to compare with: of a commit, or of releases."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from athanor.cli.contract.revisions import find_commit, find_merge_base, folder_at
from athanor.cli.releases.app import find_release
from athanor.contract.evolution.packages import model_of_package, package_of, project_of_model
from athanor.contract.evolution.sources import compile_contract, find_protos, package_at
from athanor.contract.wire import Wire
from athanor.errors import ContractError, NotFoundError
from athanor.home import Home
from athanor.release.files import CONTRACT, Release
from athanor.release.store import ReleaseStore

if TYPE_CHECKING:
    from athanor.progress import Progress

_CHAMPION: Final = "champion"
_SEMANTIC_VERSION: Final = r"\d+\.\d+\.\d+"


@dataclass(frozen=True)
class Earlier:
    """Contracts by proto package.

    Attributes:
        name: of the revision or the releases that have them.
        projects: which it covers.
        contracts: `Contract.wire`, or why one could not be read.
    """

    name: str
    projects: Sequence[str]
    contracts: Mapping[str, Wire | str]


def find_earlier(
    root: Path, projects: Sequence[str], against: str | None, home: Home, progress: "Progress"
) -> Earlier | None:
    """Contracts of a revision or a release; of the merge base with the main branch by default.

    Args:
        root: folder of the .proto files, in a repository.
        against: revision of git; or digest or its prefix, `<project>/<version>`, a version, or "champion".

    Returns:
        None by default, in a repository without a merge base.

    Raises:
        NotFoundError: there is no such revision and no such release.
    """
    if against is None:
        base = find_merge_base(root)
        return _at_commit(root, projects, base, _name_base(root, base)) if base else None
    if against == _CHAMPION:
        return _of_releases("the champions", projects, _list_champions(projects, home))
    if re.fullmatch(_SEMANTIC_VERSION, against):
        return _of_releases(against, projects, [_find_version(name, against, home) for name in projects])
    if commit := find_commit(root, against):
        return _at_commit(root, projects, commit, against)
    return _of_release(projects, against, home, progress)


def _name_base(root: Path, base: str) -> str:
    if base == find_commit(root, "HEAD"):
        return "HEAD, on the main branch"
    return "the merge base with the main branch"


def _at_commit(root: Path, projects: Sequence[str], commit: str, name: str) -> Earlier:
    contracts: dict[str, Wire | str] = {}
    with folder_at(root, commit) as folder:
        for path in find_protos(folder):
            if path.stem in projects:
                contracts[package_at(path)] = _read(path, folder)
    return Earlier(f"{name} ({commit[:12]})", projects, contracts)


def _read(path: Path, root: Path) -> Wire | str:
    try:
        return compile_contract(path, root).wire
    except ContractError as error:
        return str(error).replace(f"{root}/", "")


def _of_release(projects: Sequence[str], reference: str, home: Home, progress: "Progress") -> Earlier:
    try:
        release = find_release(reference, home, progress)
    except NotFoundError as error:
        raise NotFoundError(
            f"--against {reference} is no revision of this repository and no release: {error}"
        ) from None
    model = release.identity.model
    if project_of_model(model) not in projects:
        raise NotFoundError(f"--against {reference} is a release of {model}, and not of {', '.join(projects)}")
    return _of_releases(f"release {release.digest[:12]}", [project_of_model(model)], [release])


def _of_releases(name: str, projects: Sequence[str], releases: Iterable[Release]) -> Earlier:
    wires = (release.json(CONTRACT) for release in releases)
    return Earlier(name, projects, {package_of(wire): wire for wire in wires})


def _find_version(project: str, version: str, home: Home) -> Release:
    store = ReleaseStore(home.store_url)
    model = model_of_package(f"{project}.v{version.partition('.')[0]}")
    assigned = store.read_ledger(model).versions
    found = next((one for one in assigned if one.semantic_version == version), None)
    if found is None:
        known = ", ".join(one.semantic_version for one in assigned) or "none"
        raise NotFoundError(f"{model} has no version {version} in {home.path}; it has: {known}")
    return store.read(model, found.digest)


def _list_champions(projects: Sequence[str], home: Home) -> Iterator[Release]:
    """The champions of the models of some projects."""
    store = ReleaseStore(home.store_url)
    for model in store.list_models():
        if project_of_model(model) in projects:
            with suppress(NotFoundError):
                yield store.read(model, store.read_traffic(model).require_champion().digest)
