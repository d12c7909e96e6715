"""The registry's database: makes MLflow's tables whole or not at all, and reports errors without secrets."""

import logging
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit
from urllib.request import url2pathname

import sqlalchemy
from mlflow import MlflowClient
from mlflow.entities import ViewType
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.store.entities import PagedList
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
from sqlalchemy.exc import OperationalError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from athanor.errors import ServiceError, SettingsError, StorageError
from athanor.registry.settings import ARTIFACTS, DATABASE, RegistrySettings, sqlite_url
from athanor.registry.tracking.lock import WriterLock
from athanor.system.atomic import rename_file, temporary_folder

_CONNECT_TIMEOUT_S: Final = 10
# On a server, the last table of the one transaction that makes them all.
_MIGRATED: Final = "alembic_version"
_FOLDER: Final = "file://"


def connect(settings: RegistrySettings, lock: WriterLock) -> MlflowClient:
    """A client of MLflow. Makes the database's tables if they are missing, which takes some seconds.

    Raises:
        SettingsError: the database cannot be reached, or no artifacts can be stored at their location.
        ServiceError: another version of MLflow made the database.
        StorageError, OSError: the database cannot be made where it is to lie.
    """
    # They log each step of a migration to the terminal; failures are raised anyway.
    for name, level in (("alembic", logging.WARNING), ("mlflow", logging.CRITICAL)):
        logging.getLogger(name).setLevel(level)
    _require_artifacts(settings)
    with database_errors(settings):
        if not _has_tables(settings):
            _make_tables(settings, lock)
        client = MlflowClient(tracking_uri=settings.connection_url, registry_uri=settings.connection_url)
        _follow_artifacts(client, settings, lock)
        return client


def _require_artifacts(settings: RegistrySettings) -> None:
    try:
        get_artifact_repository(settings.artifacts_root)
    except (MlflowException, ImportError) as error:
        raise SettingsError(f"{ARTIFACTS}: artifacts cannot be stored at {settings.artifacts_root}: {error}") from None


@sqlalchemy.event.listens_for(sqlalchemy.Engine, "connect")
def _commit_for_good(connection: object, _: object) -> None:
    """SQLite commits by removing a journal. By default it does not flush that, and a power failure undoes it."""
    if isinstance(connection, sqlite3.Connection):
        connection.execute("PRAGMA synchronous = EXTRA")


@contextmanager
def database_errors(settings: RegistrySettings) -> Iterator[None]:
    """Turns errors of MLflow and the database into ServiceError, without secrets; of a full disk, into StorageError."""
    try:
        yield
    except (MlflowException, SQLAlchemyError) as error:
        if _is_full(error):
            raise StorageError(
                f"the registry {settings.name} cannot be written: the disk is full; free some space, then run the "
                "command again, which completes what it began"
            ) from None
        words = settings.without_secrets(str(error)).split("\n(Background on this error", maxsplit=1)[0]
        raise ServiceError(f"the registry {settings.name} failed: {words}") from None


def _is_full(error: BaseException | None) -> bool:
    """Whether SQLite found no space: its error is the cause of SQLAlchemy's, and that one of MLflow's."""
    while error is not None:
        if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL:
            return True
        error = error.__cause__ or error.__context__
    return False


def all_pages(search: Callable[[str | None], PagedList[Any]]) -> list[Any]:
    """All results of a paged search."""
    page = search(None)
    found = list(page)
    while page.token:
        page = search(page.token)
        found += page
    return found


def _has_tables(settings: RegistrySettings) -> bool:
    """Connects with a time-out: MLflow tries for minutes to reach a server that is down."""
    path = settings.database_path
    if path and not path.is_file():
        return False
    timeout = {} if path else {"connect_timeout": _CONNECT_TIMEOUT_S}
    engine = sqlalchemy.create_engine(settings.connection_url, poolclass=NullPool, connect_args=timeout)
    try:
        return sqlalchemy.inspect(engine).has_table(_MIGRATED)
    except SQLAlchemyError as error:
        words = settings.without_secrets(str(getattr(error, "orig", None) or error)).strip()
        raise SettingsError(f"{DATABASE}: the database {settings.name} cannot be used: {words}") from None


def _make_tables(settings: RegistrySettings, lock: WriterLock) -> None:
    path = settings.database_path
    with lock.held():
        if path and not path.exists():
            _make_file(path, settings.artifacts_root)
        else:
            _migrate(settings.connection_url, settings.artifacts_root)


def _make_file(path: Path, artifacts_root: str) -> None:
    """Makes SQLite's tables, one by one, in a temporary file, and renames it when it has all of them."""
    with temporary_folder(path.parent) as folder:
        _migrate(sqlite_url(folder / path.name), artifacts_root)
        rename_file(folder / path.name, path)


def _migrate(url: str, artifacts_root: str) -> None:
    """Makes MLflow's tables; does nothing if they exist."""
    SqlAlchemyStore(url, artifacts_root).engine.dispose()  # type: ignore[no-untyped-call]


def _follow_artifacts(client: MlflowClient, settings: RegistrySettings, lock: WriterLock) -> None:
    """Corrects the absolute paths that MLflow stores, after a home was moved or copied."""
    root = settings.artifacts_root
    if settings.database_path is None or not root.startswith(_FOLDER):
        return
    moved = {
        found.artifact_location: f"{root}/{found.name}"
        for found in client.search_experiments(view_type=ViewType.ALL)
        if found.artifact_location.startswith(_FOLDER) and found.artifact_location != f"{root}/{found.name}"
    }
    # On a read-only copy, they stay as they are: what is read from it does not need them.
    with suppress(StorageError, OperationalError):
        for before, now in moved.items():
            # Otherwise the setting changed, and the stored artifacts are still where they were.
            if Path(url2pathname(urlsplit(now).path)).is_dir():
                with lock.held():
                    _move_artifacts(settings, before, now)


def _move_artifacts(settings: RegistrySettings, before: str, now: str) -> None:
    values = {"before": before, "now": now, "length": len(before)}
    engine = sqlalchemy.create_engine(settings.connection_url, poolclass=NullPool)
    with engine.begin() as connection:
        connection.execute(
            sqlalchemy.text(
                "UPDATE runs SET artifact_uri = :now || substr(artifact_uri, :length + 1) "
                "WHERE substr(artifact_uri, 1, :length) = :before"
            ),
            values,
        )
        connection.execute(
            sqlalchemy.text("UPDATE experiments SET artifact_location = :now WHERE artifact_location = :before"), values
        )
