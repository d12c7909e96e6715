"""Tokens that are for some models of a service."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from athanor.cli.serving.tokens import app
from athanor.errors import PermissionDeniedError, SettingsError
from athanor.serving.access.authentication import Authenticator
from athanor.serving.access.scope import Scope
from athanor.serving.access.token_file import keep_token, list_tokens, make_token, tokens_path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tokens_path(tmp_path / "service", "models")


def _require(path: Path, token: str, scope: Scope, model: str | None = None) -> None:
    Authenticator(path).require(f"Bearer {token}", scope, model)


@pytest.mark.parametrize("model", ["delays", "taxi", "taxi.v2", None])
@pytest.mark.parametrize("scope", [Scope.PREDICT, Scope.ADMIN])
def test_a_token_of_all_models_opens_each(path: Path, scope: Scope, model: str | None) -> None:
    _require(path, make_token(path, "caller", scope), scope, model)


@pytest.mark.parametrize("scope", [Scope.PREDICT, Scope.ADMIN])
def test_a_token_of_some_models_opens_these_alone(path: Path, scope: Scope) -> None:
    make_token(path, "other", scope, models=["rain"])
    token = make_token(path, "caller", scope, models=["delays", "taxi*"])
    for model in ("delays", "taxi", "taxi.v2"):
        _require(path, token, scope, model)
    for model in ("rain", "delays.v2", "", "*", "DELAYS"):
        with pytest.raises(PermissionDeniedError) as refused:
            _require(path, token, scope, model)
        assert str(refused.value) == (
            f"token caller is for models delays, taxi* alone; this is about {model}: ask for another token"
        )


def test_without_a_model_a_token_of_some_models_opens_what_scope_predict_does(path: Path) -> None:
    """An administrator's may inspect its models, and nothing of the whole process."""
    token = make_token(path, "owner", Scope.ADMIN, models=["delays"])
    _require(path, token, Scope.PREDICT)
    for scope in (Scope.METRICS, Scope.ADMIN):
        with pytest.raises(PermissionDeniedError, match="owner is for models delays alone; this is about all models"):
            _require(path, token, scope)


def test_the_scope_is_required_of_the_models_that_a_token_is_for(path: Path) -> None:
    token = make_token(path, "caller", Scope.PREDICT, models=["delays"])
    with pytest.raises(PermissionDeniedError, match="caller has scope predict; this needs scope admin"):
        _require(path, token, Scope.ADMIN, "delays")


def test_metrics_are_of_all_models(path: Path) -> None:
    with pytest.raises(SettingsError, match=r"metrics are of all models, .*; leave out --model"):
        make_token(path, "prometheus", Scope.METRICS, models=["delays"])
    with pytest.raises(SettingsError, match="metrics are of all models"):
        keep_token(path, "prometheus", Scope.METRICS, path.with_name("plain"), ["delays"])
    assert not path.parent.exists()


def test_a_model_that_cannot_be_is_refused(path: Path) -> None:
    with pytest.raises(SettingsError, match=r"--model '\.\./x' is neither the name of a model nor a pattern"):
        make_token(path, "caller", Scope.PREDICT, models=["delays", "../x"])
    assert not path.parent.exists()


def test_a_file_with_such_a_model_is_damaged(path: Path) -> None:
    make_token(path, "caller", Scope.PREDICT, models=["delays"])
    path.write_text(path.read_text().replace('"delays"', '"a b"'))
    with pytest.raises(SettingsError, match=r"is not a token file: tokens\.0\.models"):
        list_tokens(path)


def test_a_file_from_before_tokens_had_models_is_read(path: Path) -> None:
    token = make_token(path, "caller", Scope.PREDICT)
    content = json.loads(path.read_bytes())
    del content["tokens"][0]["models"]
    path.write_text(json.dumps(content))
    _require(path, token, Scope.PREDICT, "delays")


def test_a_kept_token_is_not_given_other_models(path: Path) -> None:
    plain = path.with_name("plain")
    token = keep_token(path, "caller", Scope.PREDICT, plain, ["delays"])
    assert keep_token(path, "caller", Scope.PREDICT, plain, ["delays"]) == token
    with pytest.raises(SettingsError, match="token caller has scope predict and is for models delays; revoke it"):
        keep_token(path, "caller", Scope.PREDICT, plain)


def test_commands_make_and_list_them(tmp_path: Path, path: Path) -> None:
    create = ["create", "models", "caller", "--model", "delays", "--model", "taxi*", "--home", str(tmp_path)]
    made = CliRunner().invoke(app, create)
    assert made.exit_code == 0, made.exception
    assert "caller, scope predict, models delays, taxi*, expires never; store it" in made.stderr
    _require(path, made.stdout.strip(), Scope.PREDICT, "taxi")
    made = CliRunner().invoke(app, ["create", "models", "all", "--json", "--home", str(tmp_path)])
    assert json.loads(made.stdout)["models"] == []
    listed = CliRunner().invoke(app, ["list", "models", "--json", "--home", str(tmp_path)])
    assert [token["models"] for token in json.loads(listed.stdout)] == [["delays", "taxi*"], []]
    shown = CliRunner().invoke(app, ["list", "models", "--home", str(tmp_path)], env={"COLUMNS": "200"}).stdout
    assert "delays, taxi*" in shown
    refused = CliRunner().invoke(app, [*create[:2], "p", "--scope", "metrics", *create[3:]])
    assert isinstance(refused.exception, SettingsError)
