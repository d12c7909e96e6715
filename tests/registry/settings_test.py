"""Settings of a registry are checked at start, and no message shows a password."""

import sqlite3
import traceback
from pathlib import Path

import pytest
from sqlalchemy import create_engine, make_url, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import NullPool

from athanor.errors import SettingsError, StorageError
from athanor.home import Home
from athanor.registry.registry import Registry
from athanor.registry.settings import RegistrySettings, make_settings, sqlite_url


def _make(url: str) -> RegistrySettings:
    return make_settings(database_url=url, artifacts_url="/artifacts", store_url="/store")


def test_by_default_everything_is_below_the_home(tmp_path: Path) -> None:
    settings = RegistrySettings.find(Home(tmp_path))
    assert settings.database_path == tmp_path / "registry" / "mlflow.db"
    assert settings.artifacts_root == (tmp_path / "registry" / "artifacts").as_uri()
    assert settings.store_url == str(tmp_path / "store")


def test_the_environment_wins_over_the_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATHANOR_REGISTRY_URL", "postgresql://me:hunter2@db.example/models")
    monkeypatch.setenv("ATHANOR_ARTIFACTS_URL", "s3://bucket/artifacts")
    monkeypatch.setenv("ATHANOR_STORE_URL", "s3://bucket/store")
    settings = RegistrySettings.find(Home(tmp_path))
    assert settings.connection_url == "postgresql+psycopg://me:hunter2@db.example/models"
    assert settings.database_path is None
    assert (settings.artifacts_root, settings.store_url) == ("s3://bucket/artifacts", "s3://bucket/store")
    assert settings.name == "db.example:5432/models"


@pytest.mark.parametrize("name", ["x.db", "a b#c?d%20e.db", "ü?mode=memory.db"])
def test_a_sqlite_file_is_found_again_in_each_url(tmp_path: Path, name: str) -> None:
    settings = _make(sqlite_url(tmp_path / name))
    for url in (settings.connection_url, settings.read_only_url):
        assert _make(url).database_path == tmp_path / name
    sqlite3.connect(tmp_path / name).execute("CREATE TABLE t (x)").connection.close()
    for url, words in ((settings.connection_url, None), (settings.read_only_url, "readonly database")):
        engine = create_engine(url, poolclass=NullPool)
        with engine.begin() as connection:
            assert connection.execute(text("SELECT count(*) FROM t")).scalar() in (0, 1)
            if words is None:
                connection.execute(text("INSERT INTO t VALUES (1)"))
            else:
                with pytest.raises(OperationalError, match=words):
                    connection.execute(text("INSERT INTO t VALUES (1)"))
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_url_of_a_server_keeps_its_options_when_it_is_read_only() -> None:
    settings = _make("postgresql://me@host/x?options=-c%20search_path%3Da")
    assert make_url(settings.read_only_url).query["options"] == "-c search_path=a -c default_transaction_read_only=on"
    assert "mode" not in settings.connection_url


def test_relative_folders_become_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    settings = make_settings(database_url="sqlite:///some.db", artifacts_url="artifacts", store_url="store")
    assert settings.database_path == tmp_path / "some.db"
    assert settings.artifacts_root == (tmp_path / "artifacts").as_uri()
    assert settings.store_url == str(tmp_path / "store")


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("hunter2", "is not the URL of a database"),
        ("postgresql://me:hunter2@host:hunter2/x", "is not the URL of a database"),
        ("mysql://me:hunter2@host/x", "mysql is not supported"),
        ("postgresql+psycopg2://me:hunter2@host/x", r"postgresql\+psycopg2 is not supported"),
        ("postgresql://me:hunter2@host", "names no lasting database"),
        ("sqlite://", "names no lasting database"),
        ("sqlite:///:memory:", "names no lasting database"),
    ],
)
def test_an_invalid_url_is_refused_and_not_shown(url: str, words: str) -> None:
    with pytest.raises(SettingsError, match=rf"database_url \(ATHANOR_REGISTRY_URL\): {words}") as error:
        _make(url)
    assert "hunter2" not in "".join(traceback.format_exception(error.value))
    assert "sqlite:////absolute/path.db" in str(error.value)


@pytest.mark.parametrize("name", ["artifacts_url", "store_url"])
def test_an_empty_location_is_refused(name: str) -> None:
    values = {"database_url": "sqlite:////x.db", "artifacts_url": "/artifacts", "store_url": "/store", name: ""}
    with pytest.raises(SettingsError, match=f"{name} .*is empty"):
        make_settings(**values)


def test_an_unknown_setting_is_refused() -> None:
    with pytest.raises(SettingsError, match="more: "):
        make_settings(database_url="sqlite:////x.db", artifacts_url="/a", store_url="/s", more=1)


def test_no_way_of_printing_settings_shows_the_password() -> None:
    settings = _make("postgresql://me:hunter2@host/x")
    for shown in (settings, repr(settings), settings.model_dump(), settings.model_dump_json(), settings.name):
        assert "hunter2" not in str(shown)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:hunter%25two@127.0.0.1:1/x",
        "postgresql://me@127.0.0.1:1/x?password=hunter%25two",
    ],
)
def test_an_unreachable_server_is_an_error_at_start_without_its_password(url: str) -> None:
    settings = _make(url)
    with pytest.raises(SettingsError, match=r"_REGISTRY_URL: the database 127.0.0.1:1/x cannot be used") as error:
        Registry(settings)
    assert "hunter" not in "".join(traceback.format_exception(error.value))
    assert settings.without_secrets("hunter%two, hunter%25two") == "***, ***"
    assert url not in settings.without_secrets(f"{url} {settings.connection_url}")


def test_a_database_file_that_cannot_be_made_is_an_error_at_start(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    words = r"the registry .*/file/x.db cannot be made: .*/file; choose another --home, or .* by ATHANOR_REGISTRY_URL"
    with pytest.raises(StorageError, match=words):
        Registry(_make(f"sqlite:///{tmp_path}/file/x.db"))


def test_a_file_that_is_not_a_database_is_an_error_at_start(tmp_path: Path) -> None:
    (tmp_path / "x.db").write_text("no database, and longer than its header would be" * 100)
    with pytest.raises(SettingsError, match=r"x.db cannot be used: .*not a database"):
        Registry(_make(f"sqlite:///{tmp_path}/x.db"))


@pytest.mark.parametrize(
    ("name", "words"),
    [("artifacts_url", "artifacts cannot be stored at nowhere://x"), ("store_url", "nowhere")],
)
def test_an_unknown_scheme_is_an_error_at_start(tmp_path: Path, name: str, words: str) -> None:
    values = {"artifacts_url": str(tmp_path / "a"), "store_url": str(tmp_path / "s"), name: "nowhere://x"}
    with pytest.raises(SettingsError, match=words):
        Registry(make_settings(database_url=f"sqlite:///{tmp_path}/x.db", **values))
