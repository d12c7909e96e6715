"""Retention: removes unregistered releases and leftovers of killed processes. A registered version always stays."""

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
    """Digests of removed releases; in a dry run, of those it would remove.

    Attributes:
        candidates: unregistered releases that training wrote.
        published: releases of the store without a version.
        registered: number of versions, all of which stay.
    """

    candidates: tuple[str, ...]
    published: tuple[str, ...]
    registered: int


def collect(registry: Registry, home: Home, model: str, older_than: timedelta, dry_run: bool = False) -> Collected:
    """Removes old releases of a model that were never registered, and old incomplete publications.

    Raises:
        ConflictError: the traffic file names a release without a version: this is not the store's registry, or it is
            damaged. Nothing was removed.
    """
    with registry.unchanging() if dry_run else registry.writing():
        _require_own_store(registry, model, {version.digest for version in registry.list_versions(model)})
        # Also versions that were deleted in MLflow: they can be restored.
        registered = {version.digest for version in registry.list_assigned(model)}
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


def _require_own_store(registry: Registry, model: str, registered: set[str]) -> None:
    with suppress(NotFoundError):
        for role, served in registry.store.read_traffic(model).releases:
            if served.digest not in registered:
                raise ConflictError(
                    f"the traffic file of {model} names release {served.digest[:12]} as {role}, which has no "
                    f"version in {registry.settings.name}; nothing was removed. Check that this registry and "
                    "this store belong together, and run `registry doctor`"
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
    # An unfinished database: its maker would hold the lock.
    if path := registry.settings.database_path:
        remove_abandoned(path.parent, older_than_s=0)
