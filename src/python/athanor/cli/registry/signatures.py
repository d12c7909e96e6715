"""Commands that sign releases and verify signatures."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from athanor.cli.registry.opening import ModelArgument, VersionArgument
from athanor.cli.shared.terminal import HomeOption, JsonOption, facts, show, watch
from athanor.home import Home

if TYPE_CHECKING:
    from athanor.registry.registry import Registry
    from athanor.release.files import Release


def keygen(
    path: Annotated[Path, typer.Argument(help="File for the private key; the public key is written beside it.")],
    json: JsonOption = False,
) -> None:
    """Make a key pair to sign releases with. Keep the private key secret; share the public key."""
    from athanor.release.signing.releases import make_key

    rows = {"private key": str(path), "public key": str(make_key(path))}
    show(rows, json, lambda: facts("Key pair", rows))


def sign(
    model: ModelArgument,
    version: VersionArgument,
    key: Annotated[Path, typer.Option(help="File of the private key.")],
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Sign a version. The signature is stored beside the release."""
    from athanor.release.signing.releases import sign as sign_release

    registry, release = _find(model, version, home)
    signature = sign_release(release, key)
    registry.store.write_signature(release.identity.model, release.digest, signature)
    show(signature, json, lambda: facts(f"Signed {release.identity.model} {version}", signature.model_dump()))


def sign_traffic(
    model: ModelArgument,
    key: Annotated[Path, typer.Option(help="File of the private key.")],
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Sign which versions answer, as of the last move. Services with a required signature serve nothing else."""
    from athanor.cli.registry.models import find_model
    from athanor.registry.registry import Registry
    from athanor.release.signing.traffic import sign_traffic as sign_file

    with watch() as progress, progress.step("Sign the traffic file"):
        registry = Registry.open(Home.find(home))
        name = find_model(registry, model)
        signature = sign_file(registry.published_traffic(name), key)
        registry.store.write_traffic_signature(name, signature)
    show(signature, json, lambda: facts(f"Signed the traffic of {name}", signature.model_dump()))


def verify(
    model: ModelArgument,
    version: VersionArgument,
    key: Annotated[Path, typer.Option(help="File of the public key you trust.")],
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Verify that a version is unchanged since the key's owner signed it. Exit status 2 if it is not."""
    from athanor.release.signing.releases import verify_signature

    registry, release = _find(model, version, home)
    name = release.identity.model
    found = verify_signature(release, registry.store.read_signatures(name, release.digest), key)
    show(found, json, lambda: facts(f"{name} {version} is signed and unchanged", found.model_dump()))


def _find(model: str, version: str, home: Path | None) -> "tuple[Registry, Release]":
    from athanor.cli.registry.models import find_version
    from athanor.registry.registry import Registry

    with watch() as progress, progress.step("Read the release"):
        registry = Registry.open(Home.find(home))
        found = find_version(registry, model, version)
        return registry, registry.store.read(found.model, found.digest)
