"""One writer at a time. The kernel or the database server holds the lock, and releases it when its holder dies."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from sqlalchemy import create_engine, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import NullPool

from athanor.errors import ConflictError, StorageError
from athanor.registry.settings import DATABASE, RegistrySettings
from athanor.system.locks import acquire

# Any number, as long as it is the same in every process: "athanor" in ASCII.
_ADVISORY_KEY: Final = int.from_bytes(b"athanor")


class WriterLock:
    """The right to write to a registry; reentrant within a thread."""

    def __init__(self, settings: RegistrySettings, patience_s: float) -> None:
        self._settings = settings
        self._patience_s = patience_s
        self._of_threads = threading.RLock()
        self._depth = 0

    @contextmanager
    def held(self) -> Iterator[None]:
        """Holds the lock.

        Raises:
            ConflictError: another process holds it for longer than `patience_s`.
            StorageError: it lies where this process may not write.
        """
        with self._of_threads:
            if self._depth:
                yield
                return
            path = self._settings.database_path
            with self._lock_file(_beside(path)) if path else self._lock_server():
                self._depth += 1
                try:
                    yield
                finally:
                    self._depth -= 1

    @contextmanager
    def _lock_file(self, path: Path) -> Iterator[None]:
        try:
            lock = acquire(path, timeout_s=self._patience_s)
        except TimeoutError:
            raise self._busy() from None
        except OSError as error:
            raise StorageError(
                f"the registry {self._settings.name} cannot be {self._describe_failure(error)}"
            ) from None
        with lock:
            yield

    def _describe_failure(self, error: OSError) -> str:
        why, path = f"{error.strerror}: {error.filename}", self._settings.database_path
        if path and path.exists():
            return f"changed: {why}. Commands that only read still work"
        return f"made: {why}; choose another --home, or another database by {DATABASE}"

    @contextmanager
    def _lock_server(self) -> Iterator[None]:
        engine = create_engine(self._settings.connection_url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(text(f"SET lock_timeout = {int(self._patience_s * 1000)}"))
            try:
                connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": _ADVISORY_KEY})
            except OperationalError:
                raise self._busy() from None
            # Released with the connection.
            yield

    def _busy(self) -> ConflictError:
        return ConflictError(
            f"another process has been writing to the registry {self._settings.name} for {self._patience_s:g} s; "
            "nothing was changed. Try again when it is done"
        )


def _beside(database: Path) -> Path:
    return database.with_name(f"{database.name}.lock")
