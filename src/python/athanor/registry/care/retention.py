"""Retention: releases that nobody registered, and what killed processes left. A registered version always stays."""

import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from athanor.errors import ConflictError, NotFoundError
from athanor.home import Home
from athanor.registry.registry import Registry
from athanor.system.atomic import remove_abandoned


@dataclass(frozen=True)
class Collected:
    """What was removed, or would be. Digests.

    Attributes:
        candidates: releases that training wrote and nobody registered.
        published: releases of the store that have no version.
        registered: how many versions stay.
    """

    candidates: tuple[str, ...]
    published: tuple[str, ...]
    registered: int


def collect(registry: Registry, home: Home, model: str, older_than: timedelta, dry_run: bool = False) -> Collected:
    """Removes releases of a model that were never registered and are older, and what of uploads was never finished.

    Raises:
        ConflictError: the traffic file names a release that has no version, so that this is not the registry of the
            store, or it is damaged. Nothing was removed.
    """
    with registry.writing():
        registered = {version.digest for version in registry.list_versions(model)}
        _demand_own_store(registry, model, registered)
        until = datetime.now(UTC) - older_than
        candidates = tuple(_find_candidates(home.candidates / model, registered, until))
        published = tuple(_find_published(registry, model, registered, until))
        if not dry_run:
            for digest in candidates:
                shutil.rmtree(home.candidates / model / digest)
            for digest in published:
                registry.store.remove(model, digest)
            _remove_unfinished(registry, home, model, older_than)
        return Collected(candidates, published, len(registered))


def _demand_own_store(registry: Registry, model: str, registered: set[str]) -> None:
    with suppress(NotFoundError):
        for variant, served in registry.store.read_traffic(model).served.items():
            if served.digest not in registered:
                raise ConflictError(
                    f"the traffic file of {model} names release {served.digest[:12]} as {variant}, which "
                    f"{registry.settings.name} does not know; nothing was removed. Is it the registry of this store? "
                    "`registry doctor` says more"
                )


def _find_candidates(folder: Path, registered: set[str], until: datetime) -> Iterator[str]:
    for path in sorted(folder.glob("[0-9a-f]*")):
        if path.is_dir() and path.name not in registered and path.stat().st_mtime < until.timestamp():
            yield path.name


def _find_published(registry: Registry, model: str, registered: set[str], until: datetime) -> Iterator[str]:
    for manifest in registry.store.list_manifests(model):
        made = datetime.fromisoformat(manifest.provenance.created_at)
        if manifest.digest not in registered and made < until:
            yield manifest.digest


def _remove_unfinished(registry: Registry, home: Home, model: str, older_than: timedelta) -> None:
    remove_abandoned(home.candidates / model, older_than.total_seconds())
    registry.store.remove_abandoned(older_than.total_seconds())
    # Of a database that was being made, whose maker would hold the lock.
    if path := registry.settings.database_path:
        remove_abandoned(path.parent, older_than_s=0)
