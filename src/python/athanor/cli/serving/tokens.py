"""Commands that say who may call a service: `athanor serve token …`."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from athanor.cli.shared.terminal import HomeOption, JsonOption, ProjectArgument, listing, make_app, run, show, to_json
from athanor.errors import SettingsError
from athanor.home import Home

if TYPE_CHECKING:
    from athanor.serving.access.scope import Scope

app = make_app("token", "Say who may call a service: make, list and revoke tokens.")

_NameArgument = Annotated[str, typer.Argument(help="What the token is called, for listing and revoking it.")]
_ScopeOption = Annotated[str, typer.Option("--scope", help="predict, or admin, which may do all.")]
_DaysOption = Annotated[float | None, typer.Option("--days", min=0, help="Days until it expires; never by default.")]


@app.command()
def create(
    project: ProjectArgument,
    name: _NameArgument,
    scope: _ScopeOption = "predict",
    days: _DaysOption = None,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Make a token. It is printed now and never again. A service that runs knows it within a second."""
    from athanor.serving.access.token_file import make_token

    expires_at = None if days is None else (datetime.now(UTC) + timedelta(days=days)).replace(microsecond=0)
    token = make_token(_place(project, home), name, _scope(scope), expires_at)
    if json:
        typer.echo(to_json({"name": name, "scope": scope, "expires": expires_at, "token": token}))
    else:
        typer.echo(f"{name}, scope {scope}, expires {expires_at or 'never'}; keep it, it is not shown again", err=True)
        typer.echo(token)


@app.command(name="list")
def list_(project: ProjectArgument, home: HomeOption = None, json: JsonOption = False) -> None:
    """List the tokens by name. Their texts are kept nowhere."""
    from athanor.serving.access.token_file import list_tokens

    tokens = list_tokens(_place(project, home))
    header = ("name", "scope", "made", "expires")
    rows = [(t.name, t.scope.value, str(t.created_at), str(t.expires_at or "never")) for t in tokens]
    show(
        [dict(zip(header, row, strict=True)) for row in rows],
        json,
        lambda: listing(f"Tokens of {project}", header, rows),
    )


@app.command()
def revoke(project: ProjectArgument, name: _NameArgument, home: HomeOption = None) -> None:
    """Revoke a token. A service that runs refuses it within a second."""
    from athanor.serving.access.token_file import revoke_token

    revoke_token(_place(project, home), name)
    typer.echo(f"{name} is revoked", err=True)


def _place(project: str, home: Path | None) -> Path:
    from athanor.serving.access.token_file import tokens_path

    return tokens_path(Home.find(home).service, project)


def _scope(given: str) -> "Scope":
    from athanor.serving.access.scope import Scope

    try:
        return Scope(given)
    except ValueError:
        known = ", ".join(scope.value for scope in Scope)
        raise SettingsError(f"there is no scope {given!r}; choose one of {known}") from None


def main() -> None:
    run(app)


if __name__ == "__main__":
    main()
