"""Commands of the layer `registry`: versions, the traffic among them, and the history of both."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from athanor.cli.registry import care, signatures, views
from athanor.cli.registry.opening import VersionArgument, open_registry
from athanor.cli.shared.plain import plain
from athanor.cli.shared.terminal import (
    HomeOption,
    JsonOption,
    ProjectArgument,
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
    from athanor.registry.history import Move
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


@app.command()
def register(
    project: ProjectArgument,
    digest: Annotated[str, typer.Argument(help="Digest of a release that training wrote, or its prefix.")],
    allow_dirty: Annotated[
        bool, typer.Option("--allow-dirty", help="Allow a release of uncommitted changes; it stays marked.")
    ] = False,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Publish a release and give it a semantic version. An identical release keeps its version."""
    from athanor.release.files import read_release

    release = read_release(_find_candidate(Home.find(home).candidates / project, digest))
    version, is_new = _open(home).register(release, allow_dirty=allow_dirty)
    rows = {
        "semantic version": version.semantic_version,
        "digest": version.digest,
        "new": is_new,
        "clean": version.is_clean,
    }
    show(rows, json, lambda: facts(f"Registered {project}", rows))


def _find_candidate(folder: Path, digest: str) -> Path:
    found = [path for path in folder.glob("*") if path.name.startswith(digest)]
    if len(found) != 1:
        raise NotFoundError(f"{len(found)} releases in {folder} begin with {digest!r}; give the digest of exactly one")
    return found[0]


@app.command(name="list")
def list_(project: ProjectArgument, home: HomeOption = None, json: JsonOption = False) -> None:
    """List the versions of a model, newest first."""
    versions = _open(home).list_versions(project)
    rows = [
        (
            *(v.semantic_version, v.digest[:12], ", ".join(v.aliases), views.format_weight(v.weight)),
            *("yes" if v.is_clean else "NO", v.by, v.at),
        )
        for v in versions
    ]
    header = ("version", "digest", "alias", "weight", "clean", "by", "at")
    show(versions, json, lambda: listing(f"Versions of {project}", header, rows))


@app.command()
def history(project: ProjectArgument, home: HomeOption = None, json: JsonOption = False) -> None:
    """List all moves among the releases that answer, oldest first, with the traffic after each."""
    moves = _open(home).list_moves(project)
    rows = [
        (
            *(m.revision, m.kind, m.from_version or "", "" if m.ends_role else m.semantic_version),
            *(_describe_traffic(m), m.by, m.at, m.gates, m.why),
        )
        for m in moves
    ]
    header = ("revision", "move", "from", "to", "traffic", "by", "at", "gates", "why")
    show(moves, json, lambda: listing(f"Moves of {project}", header, rows))


def _describe_traffic(move: "Move") -> str:
    return "\n".join(
        f"{role} {served.semantic_version} ({views.format_weight(move.traffic.weight_of(role))})"
        for role, served in move.traffic.releases
    )


@app.command()
def promote(
    project: ProjectArgument,
    version: VersionArgument,
    reason: ReasonOption,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Make a version champion and publish the traffic file."""
    _show_traffic(_open(home).promote(project, version, reason), json)


@app.command()
def rollback(project: ProjectArgument, reason: ReasonOption, home: HomeOption = None, json: JsonOption = False) -> None:
    """Make the previous champion the champion again."""
    _show_traffic(_open(home).rollback(project, reason), json)


@app.command()
def challenge(
    project: ProjectArgument,
    version: VersionArgument,
    weight: Annotated[float, typer.Option(help="Share of the keys it answers, above 0 and below 1.")],
    reason: ReasonOption,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Make a version the challenger for a share of the keys, or change the challenger's share."""
    registry = _open(home)
    traffic = registry.challenge(project, version, weight, reason)
    _show_traffic(traffic, json)
    if traffic.challenger:
        note = registry.describe_assignment(project, traffic.challenger)
        err.print(plain(note), highlight=False, soft_wrap=True)


@app.command()
def shadow(
    project: ProjectArgument,
    version: VersionArgument,
    reason: ReasonOption,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Make a version the shadow: it answers every request too, for the log only."""
    _show_traffic(_open(home).shadow(project, version, reason), json)


@app.command()
def withdraw(
    project: ProjectArgument,
    variant: Annotated[str, typer.Argument(help="challenger or shadow.")],
    reason: ReasonOption,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Remove the challenger or the shadow from the traffic."""
    _show_traffic(_open(home).withdraw(project, variant, reason), json)


@app.command()
def pin(
    project: ProjectArgument,
    version: VersionArgument,
    reason: ReasonOption,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Keep a version loaded for callers who ask for it by number; it takes no other traffic."""
    _show_traffic(_open(home).pin(project, version, reason), json)


@app.command()
def unpin(
    project: ProjectArgument,
    version: VersionArgument,
    reason: ReasonOption,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """End a pin: the version answers no more, unless it is champion or challenger."""
    _show_traffic(_open(home).unpin(project, version, reason), json)


def _show_traffic(traffic: "Traffic", as_json: bool) -> None:
    show(traffic, as_json, lambda: views.list_served(traffic, f"revision {traffic.revision}"))
