"""Commands `athanor serve token …`: make, list and revoke access tokens."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from athanor.cli.serving.services import ServiceArgument, find_service, split_service
from athanor.cli.shared.terminal import HomeOption, JsonOption, listing, make_app, show, to_json
from athanor.errors import SettingsError

if TYPE_CHECKING:
    from athanor.serving.access.scope import Scope
    from athanor.serving.setup.paths import ServicePaths

app = make_app("token", "Make, list and revoke access tokens.")

_WordsArgument = Annotated[
    list[str],
    typer.Argument(
        metavar="[SERVICE] NAME",
        help="Name of the service, by default the only one that runs from this home; name of the token.",
    ),
]
_ScopeOption = Annotated[str, typer.Option("--scope", help="predict; metrics; or admin, which allows everything.")]
_ModelOption = Annotated[
    list[str] | None,
    typer.Option("--model", help="Model that it is for, or a pattern such as 'flight*'; repeatable; all by default."),
]
_DaysOption = Annotated[float | None, typer.Option("--days", min=0, help="Days until it expires; never by default.")]
_FileOption = Annotated[
    Path | None,
    typer.Option("--file", help="Keep it in this file, for its owner alone, instead of printing it. Made once."),
]


@app.command()
def create(
    words: _WordsArgument,
    scope: _ScopeOption = "predict",
    model: _ModelOption = None,
    days: _DaysOption = None,
    file: _FileOption = None,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Make a token. It is printed only once. A running service accepts it within a second."""
    from athanor.serving.access.token_file import keep_token, make_token, revoke_token

    paths, name = _find(words, home)
    hashes, models = paths.tokens, tuple(model or ())
    if not paths.settings.exists():
        typer.echo(f"no service {paths.service} has run from {paths.folder} yet; check its name", err=True)
    if file is not None:
        if days is not None:
            raise SettingsError("--file keeps a token that does not expire; give --days or --file")
        keep_token(hashes, name, _scope(scope), file, models)
        typer.echo(f"{_describe(name, scope, models, None)}, is in {file}", err=True)
        return
    expires_at = _expiry(days)
    token = make_token(hashes, name, _scope(scope), expires_at, models)
    try:
        if json:
            shown = {"name": name, "scope": scope, "models": models, "expires": expires_at, "token": token}
            typer.echo(to_json(shown))
        else:
            about = _describe(name, scope, models, expires_at)
            typer.echo(f"{about}; store it, it is not shown again", err=True)
            typer.echo(token)
    except OSError:
        # A token that was not shown, as into a file on a full disk, opens nothing and holds its name.
        revoke_token(hashes, name)
        raise


def _describe(name: str, scope: str, models: tuple[str, ...], expires_at: datetime | None) -> str:
    from athanor.serving.access.token_file import describe_models

    return f"{name}, scope {scope}, {describe_models(models)}, expires {expires_at or 'never'}"


@app.command(name="list")
def list_(service: ServiceArgument = None, home: HomeOption = None, json: JsonOption = False) -> None:
    """List the tokens by name. Their values are not stored."""
    from athanor.serving.access.token_file import list_tokens

    paths = find_service(service, home)
    tokens = list_tokens(paths.tokens)
    header = ("name", "scope", "models", "made", "expires")
    rows = [(t.name, t.scope.value, t.models, str(t.created_at), str(t.expires_at or "never")) for t in tokens]
    show(
        [dict(zip(header, row, strict=True)) for row in rows],
        json,
        lambda: listing(
            f"Tokens of the service {paths.service}",
            header,
            [(*row[:2], ", ".join(row[2]) or "all", *row[3:]) for row in rows],
        ),
    )


@app.command()
def revoke(words: _WordsArgument, home: HomeOption = None) -> None:
    """Revoke a token. A running service refuses it within a second."""
    from athanor.serving.access.token_file import revoke_token

    paths, name = _find(words, home)
    revoke_token(paths.tokens, name)
    typer.echo(f"token {name} is revoked", err=True)


def _find(words: list[str], home: Path | None) -> "tuple[ServicePaths, str]":
    """The files of a service, and the name of a token."""
    service, name = split_service(words, "NAME")
    return find_service(service, home), name


def _expiry(days: float | None) -> datetime | None:
    if days is None:
        return None
    try:
        return (datetime.now(UTC) + timedelta(days=days)).replace(microsecond=0)
    except (OverflowError, ValueError):
        raise SettingsError(f"--days is {days:g}, beyond the calendar; give fewer, or none for ever") from None


def _scope(given: str) -> "Scope":
    from athanor.serving.access.scope import Scope

    try:
        return Scope(given)
    except ValueError:
        known = ", ".join(scope.value for scope in Scope)
        raise SettingsError(f"--scope is {given!r}; give one of {known}") from None
