"""Commands of the layer `registry`: versions, the traffic among them, and the history of both."""

from collections.abc import Sequence
from itertools import chain, starmap
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Group, RenderableType

from athanor.cli.registry import care, signatures, views
from athanor.cli.registry.opening import ModelArgument, VersionArgument, open_registry
from athanor.cli.shared.plain import plain
from athanor.cli.shared.terminal import (
    HomeOption,
    JsonOption,
    err,
    facts,
    listing,
    make_app,
    show,
    watch,
)
from athanor.errors import NotFoundError
from athanor.home import Home

if TYPE_CHECKING:
    from athanor.registry.history import Move, Registered
    from athanor.registry.registry import Registry
    from athanor.release.traffic import Traffic

app = make_app("registry", "Manage versions, the traffic among them, and the history of both.")
app.command(name="show")(views.show_)
app.command()(views.diff)
app.command()(views.traffic)
app.command()(care.gc)
app.command()(care.doctor)
app.command()(care.ui)
app.command()(signatures.keygen)
app.command()(signatures.sign)
app.command()(signatures.sign_traffic)
app.command()(signatures.verify)

ReasonOption = Annotated[str, typer.Option("--reason", "--why", "-m", help="Reason, for the history.")]


def _open(home: Path | None) -> "Registry":
    with watch() as progress:
        return open_registry(Home.find(home), progress)


def _find(home: Path | None, model: str, version: str = "") -> "tuple[Registry, str]":
    """The registry, and the model that the arguments of a command name."""
    registry = _open(home)
    from athanor.cli.registry.models import find_model

    return registry, find_model(registry, model, version)


@app.command()
def register(
    project: ModelArgument,
    digest: Annotated[str, typer.Argument(help="Digest of a release that training wrote, or its prefix.")],
    allow_dirty: Annotated[
        bool, typer.Option("--allow-dirty", help="Allow a release of uncommitted changes; it stays marked.")
    ] = False,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Publish a release and give it a semantic version. An identical release keeps its version."""
    from athanor.release.files import read_release

    release = read_release(_find_candidate(Home.find(home).candidates, project, digest))
    version, is_new = _open(home).register(release, allow_dirty=allow_dirty)
    rows = {
        "model": version.model,
        "semantic version": version.semantic_version,
        "digest": version.digest,
        "new": is_new,
        "clean": version.is_clean,
    }
    show(rows, json, lambda: facts(f"Registered {version.model}", rows))


def _find_candidate(candidates: Path, project: str, digest: str) -> Path:
    from athanor.cli.registry.models import find_candidate_models

    folders = [candidates / model for model in find_candidate_models(candidates, project)]
    found = [path for folder in folders for path in folder.glob("*") if path.name.startswith(digest)]
    if len(found) != 1:
        where = ", ".join(map(str, folders))
        raise NotFoundError(f"{len(found)} releases in {where} begin with {digest!r}; give the digest of exactly one")
    return found[0]


@app.command(name="list")
def list_(project: ModelArgument, home: HomeOption = None, json: JsonOption = False) -> None:
    """List the versions of each model of a project, newest first."""
    from athanor.cli.registry.models import find_models

    registry = _open(home)
    found = {model: registry.list_versions(model) for model in find_models(registry, project)}
    show([*chain(*found.values())], json, lambda: Group(*starmap(_list_versions, found.items())))


def _list_versions(model: str, versions: "Sequence[Registered]") -> RenderableType:
    rows = [
        (
            *(v.semantic_version, v.digest[:12], ", ".join(v.aliases), views.format_weight(v.weight)),
            *("yes" if v.is_clean else "NO", v.by, v.at),
        )
        for v in versions
    ]
    header = ("version", "digest", "alias", "weight", "clean", "by", "at")
    return listing(f"Versions of {model}", header, rows)


@app.command()
def history(project: ModelArgument, home: HomeOption = None, json: JsonOption = False) -> None:
    """List the moves of each model of a project, oldest first, with the traffic after each."""
    from athanor.cli.registry.models import find_models

    registry = _open(home)
    found = {model: registry.list_moves(model) for model in find_models(registry, project)}
    show([*chain(*found.values())], json, lambda: Group(*starmap(_list_moves, found.items())))


def _list_moves(model: str, moves: "Sequence[Move]") -> RenderableType:
    rows = [
        (
            *(m.revision, m.kind, m.from_version or "", "" if m.ends_role else m.semantic_version),
            *(_describe_traffic(m), m.by, m.at, m.gates, m.why),
        )
        for m in moves
    ]
    header = ("revision", "move", "from", "to", "traffic", "by", "at", "gates", "why")
    return listing(f"Moves of {model}", header, rows)


def _describe_traffic(move: "Move") -> str:
    shares = (
        f"{role} {served.semantic_version} ({views.format_weight(move.traffic.weight_of(role))})"
        for role, served in move.traffic.releases
    )
    return "\n".join(shares) or "nothing answers"


@app.command()
def promote(
    model: ModelArgument,
    version: VersionArgument,
    reason: ReasonOption,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Make a version champion and publish the traffic file."""
    registry, name = _find(home, model, version)
    _show_traffic(registry.promote(name, version, reason), json)


@app.command()
def rollback(model: ModelArgument, reason: ReasonOption, home: HomeOption = None, json: JsonOption = False) -> None:
    """Make the previous champion the champion again, or the one that was withdrawn."""
    registry, name = _find(home, model)
    _show_traffic(registry.rollback(name, reason), json)


@app.command()
def challenge(
    model: ModelArgument,
    version: VersionArgument,
    weight: Annotated[float, typer.Option(help="Share of the keys it answers, above 0 and below 1.")],
    reason: ReasonOption,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Make a version the challenger for a share of the keys, or change the challenger's share."""
    registry, name = _find(home, model, version)
    traffic = registry.challenge(name, version, weight, reason)
    _show_traffic(traffic, json)
    if traffic.challenger:
        note = registry.describe_assignment(name, traffic.challenger)
        err.print(plain(note), highlight=False, soft_wrap=True)


@app.command()
def shadow(
    model: ModelArgument,
    version: VersionArgument,
    reason: ReasonOption,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Make a version the shadow: it answers every request too, for the log only."""
    registry, name = _find(home, model, version)
    _show_traffic(registry.shadow(name, version, reason), json)


@app.command()
def withdraw(
    model: ModelArgument,
    variant: Annotated[str, typer.Argument(help="champion, challenger or shadow.")],
    reason: ReasonOption,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Remove a variant from the traffic. Without a champion, no release of the model answers any more."""
    registry, name = _find(home, model)
    _show_traffic(registry.withdraw(name, variant, reason), json)


@app.command()
def pin(
    model: ModelArgument,
    version: VersionArgument,
    reason: ReasonOption,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Keep a version loaded for callers who ask for it by number; it takes no other traffic."""
    registry, name = _find(home, model, version)
    _show_traffic(registry.pin(name, version, reason), json)


@app.command()
def unpin(
    model: ModelArgument,
    version: VersionArgument,
    reason: ReasonOption,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """End a pin: the version answers no more, unless it is champion or challenger."""
    registry, name = _find(home, model, version)
    _show_traffic(registry.unpin(name, version, reason), json)


def _show_traffic(traffic: "Traffic", as_json: bool) -> None:
    show(traffic, as_json, lambda: views.list_served(traffic, f"revision {traffic.revision}"))
