"""Commands `athanor serve token …`: make, list and revoke access tokens."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from athanor.cli.shared.terminal import HomeOption, JsonOption, ProjectArgument, listing, make_app, show, to_json
from athanor.errors import NotFoundError, SettingsError
from athanor.home import Home

if TYPE_CHECKING:
    from athanor.serving.access.scope import Scope

app = make_app("token", "Make, list and revoke access tokens.")

_NameArgument = Annotated[str, typer.Argument(help="Name of the token, to list and revoke it.")]
_ScopeOption = Annotated[str, typer.Option("--scope", help="predict; metrics; or admin, which allows everything.")]
_DaysOption = Annotated[float | None, typer.Option("--days", min=0, help="Days until it expires; never by default.")]
_FileOption = Annotated[
    Path | None,
    typer.Option("--file", help="Keep it in this file, for its owner alone, instead of printing it. Made once."),
]


@app.command()
def create(
    project: ProjectArgument,
    name: _NameArgument,
    scope: _ScopeOption = "predict",
    days: _DaysOption = None,
    file: _FileOption = None,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Make a token. It is printed only once. A running service accepts it within a second."""
    from athanor.serving.access.token_file import keep_token, make_token, revoke_token

    hashes = _tokens_file(project, home)
    if file is not None:
        if days is not None:
            raise SettingsError("--file keeps a token that does not expire; give --days or --file")
        keep_token(hashes, name, _scope(scope), file)
        typer.echo(f"{name}, scope {scope}, expires never, is in {file}", err=True)
        return
    expires_at = _expiry(days)
    token = make_token(hashes, name, _scope(scope), expires_at)
    try:
        if json:
            typer.echo(to_json({"name": name, "scope": scope, "expires": expires_at, "token": token}))
        else:
            about = f"{name}, scope {scope}, expires {expires_at or 'never'}"
            typer.echo(f"{about}; store it, it is not shown again", err=True)
            typer.echo(token)
    except OSError:
        # A token that was not shown, as into a file on a full disk, opens nothing and holds its name.
        revoke_token(hashes, name)
        raise


@app.command(name="list")
def list_(project: ProjectArgument, home: HomeOption = None, json: JsonOption = False) -> None:
    """List the tokens by name. Their values are not stored."""
    from athanor.serving.access.token_file import list_tokens

    tokens = list_tokens(_tokens_file(project, home))
    header = ("name", "scope", "made", "expires")
    rows = [(t.name, t.scope.value, str(t.created_at), str(t.expires_at or "never")) for t in tokens]
    show(
        [dict(zip(header, row, strict=True)) for row in rows],
        json,
        lambda: listing(f"Tokens of {project}", header, rows),
    )


@app.command()
def revoke(project: ProjectArgument, name: _NameArgument, home: HomeOption = None) -> None:
    """Revoke a token. A running service refuses it within a second."""
    from athanor.serving.access.token_file import revoke_token

    revoke_token(_tokens_file(project, home), name)
    typer.echo(f"token {name} is revoked", err=True)


def _tokens_file(project: str, home: Path | None) -> Path:
    """Raises NotFoundError for a project that is nowhere: no service would read the file."""
    from athanor.projects import find_projects, require_project
    from athanor.release.store import ReleaseStore
    from athanor.serving.access.token_file import tokens_path

    found = Home.find(home)
    if find_projects("model"):
        require_project(project, "model")
    elif not project.isidentifier():
        raise NotFoundError(f"no project has the name {project!r}")
    else:
        # A binary for serving carries none.
        ReleaseStore(found.store_url).read_traffic(project)
    return tokens_path(found.service, project)


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
