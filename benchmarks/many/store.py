"""Fills a release store with many models of one size: a trained release, each time in another proto package."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from google.protobuf import text_format
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from athanor.contract.descriptors import from_descriptors
from athanor.release.files import CONTRACT, DESCRIPTORS, Release, digests, write_release
from athanor.release.manifest import Identity
from athanor.release.store import ReleaseStore
from athanor.release.traffic import Served, Traffic


def name_models(first: int, count: int) -> list[str]:
    return [f"m{number:03}" for number in range(first, first + count)]


def publish(release: Release, models: list[str], store: ReleaseStore, folder: Path) -> Iterator[Traffic]:
    """Publishes the release as one of each model. The traffic files that make it answer are still to be written.

    Args:
        folder: for the releases on their way.
    """
    for model in models:
        renamed = rename(release, model, folder)
        store.publish(renamed)
        yield Traffic(model=model, revision=1, champion=Served(digest=renamed.digest, semantic_version="1.0.0"))


def rename(release: Release, model: str, folder: Path) -> Release:
    """The same release as one of another model, written below a folder."""
    package = release.contract.service.file.package
    descriptors, contract = release.files[DESCRIPTORS], release.files[CONTRACT].decode()
    text = text_format.MessageToString(FileDescriptorSet.FromString(descriptors))
    text = text.replace(package, f"{model}.v1").replace(package.replace(".", "/"), f"{model}/v1")
    descriptors = text_format.Parse(text, FileDescriptorSet()).SerializeToString(deterministic=True)
    contract = contract.replace(package, f"{model}.v1")
    changed = {**release.files, DESCRIPTORS: descriptors, CONTRACT: contract.encode()}
    files = {name: changed[name] for name in release.identity.files}
    wire = Release(release.location, release.manifest, changed).json(CONTRACT)
    found = from_descriptors(descriptors, wire["method"].split("/")[0], wire["outcome"])
    identity = {"model": model, "contract": found.fingerprint, "files": digests(files)}
    documents = {name: changed[name] for name in release.manifest.documents}
    return write_release(
        folder,
        Identity.model_validate({**release.identity.model_dump(), **identity}),
        release.manifest.provenance,
        files,
        documents,
    )
