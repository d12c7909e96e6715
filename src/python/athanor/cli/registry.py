"""Commands of the layer `registry`: which release answers, and how it came to that."""

from typing import TYPE_CHECKING, Annotated

import typer

from athanor.cli.terminal import HomeOption, JsonOption, ProjectArgument, facts, listing, make_app, show
from athanor.home import Home

if TYPE_CHECKING:
    from athanor.registry.registry import Registry

app = make_app("registry", "Semantic versions, the champion, and the history of both.")

VersionArgument = Annotated[str, typer.Argument(help="Semantic version, 1.0.0.")]


def open_registry(home: Home) -> "Registry":
    from athanor.registry.registry import Registry
    from athanor.release.store import ReleaseStore

    return Registry(home.registry, ReleaseStore(home.store))


@app.command()
def register(
    project: ProjectArgument,
    digest: Annotated[str, typer.Argument(help="Digest of a release that training wrote.")],
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Publish a release and give it its semantic version. An identical release keeps the one it has."""
    from athanor.release.files import read_release

    place = Home.find(home)
    version, is_new = open_registry(place).register(read_release(place.candidates / project / digest))
    rows = {"semantic version": version.semantic_version, "digest": version.digest, "new": is_new}
    show(rows, json, lambda: facts(f"Registered {project}", rows))


@app.command(name="list")
def list_(project: ProjectArgument, home: HomeOption = None, json: JsonOption = False) -> None:
    """List the versions of a model, newest first."""
    versions = open_registry(Home.find(home)).list_versions(project)
    rows = [(v.semantic_version, v.digest[:12], ", ".join(v.aliases)) for v in versions]
    show(versions, json, lambda: listing(f"Versions of {project}", ("version", "digest", "alias"), rows))


@app.command()
def history(project: ProjectArgument, home: HomeOption = None, json: JsonOption = False) -> None:
    """List every change of the champion, oldest first."""
    moves = open_registry(Home.find(home)).list_moves(project)
    rows = [(m.revision, m.kind, m.semantic_version, m.digest[:12], m.by, m.at) for m in moves]
    header = ("revision", "move", "version", "digest", "by", "at")
    show(moves, json, lambda: listing(f"Moves of {project}", header, rows))


@app.command()
def promote(
    project: ProjectArgument, version: VersionArgument, home: HomeOption = None, json: JsonOption = False
) -> None:
    """Make a version champion and publish the traffic file."""
    traffic = open_registry(Home.find(home)).promote(project, version)
    show(traffic, json, lambda: facts(f"Traffic of {project}", traffic.champion.model_dump()))


@app.command()
def rollback(project: ProjectArgument, home: HomeOption = None, json: JsonOption = False) -> None:
    """Make the version champion again that was before the present one."""
    traffic = open_registry(Home.find(home)).rollback(project)
    show(traffic, json, lambda: facts(f"Traffic of {project}", traffic.champion.model_dump()))
