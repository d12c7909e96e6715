"""Location of the registry: its database, its artifacts and the release store. Checked at start."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import quote, unquote

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator
from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from athanor.errors import SettingsError
from athanor.home import STORE_VARIABLE, Home
from athanor.release.storage.locations import is_url, to_absolute
from athanor.system.url_secrets import PERCENT_ENCODE, mask_secrets

DATABASE: Final = "ATHANOR_REGISTRY_URL"
ARTIFACTS: Final = "ATHANOR_ARTIFACTS_URL"
STORE: Final = STORE_VARIABLE

_FILE: Final = "file:"
_DRIVERS: Final = {
    "sqlite": "sqlite",
    "sqlite+pysqlite": "sqlite",
    "postgresql": "postgresql+psycopg",
    "postgresql+psycopg": "postgresql+psycopg",
}
_ALLOWED: Final = "sqlite:////absolute/path.db or postgresql://user:password@host:port/name"


class RegistrySettings(BaseModel):
    """Location of the registry. The database's URL is a secret and is never printed: it may hold a password.

    Attributes:
        database_url: sqlite:////absolute/path.db or postgresql://user:password@host:port/name.
        artifacts_url: a folder, or a URL that MLflow can write artifacts to: s3://bucket/path.
        store_url: the release store: a folder, or a URL.
    """

    # An error would hold the given value otherwise.
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    database_url: SecretStr
    artifacts_url: str = Field(repr=False)
    store_url: str = Field(repr=False)

    @field_validator("database_url")
    @classmethod
    def _check_database(cls, value: SecretStr) -> SecretStr:
        _parse(value.get_secret_value())
        return value

    @field_validator("artifacts_url", "store_url")
    @classmethod
    def _make_absolute(cls, value: str) -> str:
        """A relative folder would change with the working directory."""
        if not value:
            raise ValueError("is empty; give a folder or a URL")
        return to_absolute(value)

    @classmethod
    def find(cls, home: Home) -> "RegistrySettings":
        """From the environment, else below a home.

        Raises:
            SettingsError: some are invalid; names their variables, and no value that could be a secret.
        """
        return make_settings(
            database_url=os.environ.get(DATABASE) or sqlite_url(home.registry / "mlflow.db"),
            artifacts_url=os.environ.get(ARTIFACTS) or str(home.registry / "artifacts"),
            store_url=home.store_url,
        )

    @property
    def url(self) -> URL:
        """URL of the database, with its driver."""
        return _parse(self.database_url.get_secret_value())

    @property
    def database_path(self) -> Path | None:
        """File of a SQLite database; None for a server."""
        if self.url.drivername != "sqlite":
            return None
        name = self.url.database or ""
        return Path(unquote(name.removeprefix(_FILE)) if name.startswith(_FILE) else name).absolute()

    @property
    def connection_url(self) -> str:
        """URL for MLflow and SQLAlchemy, password included."""
        path = self.database_path
        return sqlite_url(path, self.url.query) if path else self.url.render_as_string(hide_password=False)

    @property
    def read_only_url(self) -> str:
        """As `connection_url`, for connections that the database lets only read."""
        path = self.database_path
        if path:
            return sqlite_url(path, {**self.url.query, "mode": "ro"})
        given = self.url.query.get("options", "")
        options = " ".join([*((given,) if isinstance(given, str) else given), "-c default_transaction_read_only=on"])
        return self.url.update_query_dict({"options": options.strip()}).render_as_string(hide_password=False)

    @property
    def artifacts_root(self) -> str:
        """Location of the artifacts, as a URL."""
        return self.artifacts_url if is_url(self.artifacts_url) else Path(self.artifacts_url).as_uri()

    @property
    def name(self) -> str:
        """Name of the database in messages, without secrets."""
        url = self.url
        return str(self.database_path or f"{url.host or 'localhost'}:{url.port or 5432}/{url.database}")

    def without_secrets(self, words: str) -> str:
        """A library's text with every form of the URL and its password replaced by ***."""
        return mask_secrets(words, self.database_url.get_secret_value(), self.connection_url)


def sqlite_url(path: Path, query: Mapping[str, str | Sequence[str]] = MappingProxyType({})) -> str:
    """URL of a SQLite file. SQLite itself reads the path as a URI, so that `?`, `#` and `%` have no meaning in it.

    The scheme names the driver, because MLflow takes what follows `sqlite:///` for a path and makes its folders.
    """
    database = _FILE + quote(os.fsencode(path))
    url = URL.create("sqlite+pysqlite", database=database, query={**query, "uri": "true"})
    return url.render_as_string()


def make_settings(**values: object) -> RegistrySettings:
    """Raises SettingsError, which names every invalid setting."""
    try:
        return RegistrySettings.model_validate(values)
    except ValidationError as error:
        problems = (f"{_describe(e)}: {e['msg'].removeprefix('Value error, ')}" for e in error.errors())
        raise SettingsError("; ".join(problems)) from None


def _describe(error: Any) -> str:
    name = ".".join(map(str, error["loc"]))
    variable = {"database_url": DATABASE, "artifacts_url": ARTIFACTS, "store_url": STORE}.get(name)
    return f"{name} ({variable})" if variable else name


def _parse(text: str) -> URL:
    """Raises ValueError, which repeats nothing of the text but its scheme."""
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        raise ValueError(f"is not the URL of a database; give {_ALLOWED}") from None
    if "@" in (url.host or ""):
        raise ValueError(f"is ambiguous; {PERCENT_ENCODE}; give {_ALLOWED}")
    driver = _DRIVERS.get(url.drivername)
    if driver is None:
        raise ValueError(f"{url.drivername} is not supported; give {_ALLOWED}")
    if not url.database or url.database == ":memory:":
        raise ValueError(f"names no lasting database; give {_ALLOWED}")
    return url.set(drivername=driver)
