"""Commands that sign releases, and prove who did."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from athanor.cli.shared.terminal import HomeOption, JsonOption, ProjectArgument, facts, show, watch
from athanor.home import Home

if TYPE_CHECKING:
    from athanor.registry.registry import Registry
    from athanor.release.files import Release

_VersionArgument = Annotated[str, typer.Argument(help="Semantic version, 1.0.0, or how the digest begins.")]


def keygen(
    path: Annotated[Path, typer.Argument(help="File of the private key; the public one lies beside it.")],
    json: JsonOption = False,
) -> None:
    """Make a pair of keys to sign releases with. Keep the private one; give away the public one."""
    from athanor.release.signature import make_key

    rows = {"private key": str(path), "public key": str(make_key(path))}
    show(rows, json, lambda: facts("A pair of keys", rows))


def sign(
    project: ProjectArgument,
    version: _VersionArgument,
    key: Annotated[Path, typer.Option(help="File of the private key.")],
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Sign a version. The signature lies beside the release in the store."""
    from athanor.release.signature import sign as sign_release

    registry, release = _find(project, version, home)
    signature = sign_release(release, key)
    registry.store.write_signature(project, release.digest, signature)
    show(signature, json, lambda: facts(f"Signed {project} {version}", signature.model_dump()))


def verify(
    project: ProjectArgument,
    version: _VersionArgument,
    key: Annotated[Path, typer.Option(help="File of the public key of whom you trust.")],
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Prove that whoever has the private key signed a version as it is. Exit status 2 when nobody did."""
    from athanor.release.signature import verify_signature

    registry, release = _find(project, version, home)
    found = verify_signature(release, registry.store.read_signatures(project, release.digest), key)
    show(found, json, lambda: facts(f"{project} {version} is as it was signed", found.model_dump()))


def _find(project: str, version: str, home: Path | None) -> "tuple[Registry, Release]":
    from athanor.registry.registry import Registry

    with watch() as progress, progress.step("Read the release"):
        registry = Registry.open(Home.find(home))
        return registry, registry.store.read(project, registry.find_version(project, version).digest)
