"""A release is read only if every byte is the one that was written."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from support.releases import PROVENANCE, make_files, make_identity, make_release

from athanor.errors import NotFoundError, ReleaseError
from athanor.release.files import CONTRACT, GRAPH, MANIFEST, MODEL_CARD, Release, digests, read_release, write_release
from athanor.release.manifest import FORMAT

# Small, so that every byte can be tried.
_FILES = {GRAPH: b"a graph", CONTRACT: b'{"a": 1}'}
_DOCUMENTS = {MODEL_CARD: b"a card"}
_ALL = {**_FILES, **_DOCUMENTS}


@pytest.fixture
def release(tmp_path: Path) -> Release:
    return write_release(tmp_path, make_identity(_FILES), PROVENANCE, _FILES, _DOCUMENTS)


@pytest.fixture
def folder(release: Release) -> Path:
    return Path(release.location)


def _names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_it_lies_in_a_folder_named_by_its_digest(release: Release, tmp_path: Path) -> None:
    assert release.location == str(tmp_path / release.digest)
    assert release.digest == make_identity(_FILES).digest
    assert _names(tmp_path) == {release.digest}
    assert _names(tmp_path / release.digest) == {*_ALL, MANIFEST}


def test_it_comes_back_as_it_was_written(release: Release) -> None:
    back = read_release(Path(release.location))
    assert back == release
    assert back.files == _ALL
    assert back.manifest.documents == digests(_DOCUMENTS)
    assert back.identity == make_identity(_FILES)
    assert back.manifest.provenance == PROVENANCE
    assert back.json(CONTRACT) == {"a": 1}


def test_written_again_it_is_left_as_it_is(release: Release, tmp_path: Path) -> None:
    later = PROVENANCE.model_copy(update={"created_at": "2014-01-01T00:00:00+00:00"})
    again = write_release(tmp_path, release.identity, later, _FILES, {MODEL_CARD: b"another card"})
    assert again == release


def test_it_may_be_read_from_a_folder_of_another_name(release: Release, tmp_path: Path) -> None:
    moved = shutil.copytree(release.location, tmp_path / "moved")
    assert read_release(moved, release.digest).files == _ALL
    with pytest.raises(ReleaseError, match=f"it says digest {release.digest}.*, expected is moved"):
        read_release(moved)


def test_a_release_that_is_not_there_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=f"there is no release {'a' * 64} at {re.escape(str(tmp_path))}"):
        read_release(tmp_path / ("a" * 64))


@pytest.mark.parametrize("name", sorted(_ALL))
def test_every_changed_byte_of_every_file_is_refused_by_file_and_digests(folder: Path, name: str) -> None:
    path = folder / name
    content = path.read_bytes()
    for position in range(len(content)):
        changed = bytearray(content)
        changed[position] ^= 1
        path.write_bytes(changed)
        with pytest.raises(ReleaseError) as caught:
            read_release(folder)
        text = str(caught.value)
        assert str(path) in text
        assert digests({name: bytes(changed)})[name] in text
        assert digests(_ALL)[name] in text


def test_every_changed_byte_of_the_manifest_is_refused(folder: Path) -> None:
    path = folder / MANIFEST
    content = path.read_bytes()
    for position in range(len(content)):
        changed = bytearray(content)
        # Each bit has its turn: some leave a digit a digit, others make no JSON.
        changed[position] ^= 1 << position % 8
        path.write_bytes(changed)
        # A document that it gives another name or digest is noticed by that document.
        with pytest.raises(ReleaseError, match=re.escape(str(folder))):
            read_release(folder)


@pytest.mark.parametrize("name", [*sorted(_ALL), MANIFEST])
@pytest.mark.parametrize("damage", [lambda c: b"", lambda c: c[:-1], lambda c: c + b" ", lambda c: c + c])
def test_files_cut_short_or_grown_are_refused(folder: Path, name: str, damage: Callable[[bytes], bytes]) -> None:
    path = folder / name
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ReleaseError, match=re.escape(str(path))):
        read_release(folder)


@pytest.mark.parametrize("name", sorted(_ALL))
def test_an_absent_file_is_refused(folder: Path, name: str) -> None:
    path, digest = folder / name, digests(_ALL)[name]
    path.unlink()
    with pytest.raises(ReleaseError, match=f"{re.escape(str(path))} .* is absent, the manifest says {digest}"):
        read_release(folder)


def test_an_absent_manifest_is_refused(folder: Path) -> None:
    (folder / MANIFEST).unlink()
    with pytest.raises(ReleaseError, match=f"{MANIFEST} cannot be read"):
        read_release(folder)


def test_a_file_that_is_no_part_of_it_is_refused(folder: Path) -> None:
    (folder / "extra.py").write_bytes(b"")
    with pytest.raises(ReleaseError, match=r"extra\.py .*: the manifest names no such file"):
        read_release(folder)


def test_what_is_no_file_is_refused(folder: Path) -> None:
    (folder / "extra").mkdir()
    with pytest.raises(ReleaseError, match=f"{re.escape(str(folder / 'extra'))} .*: the manifest names no such file"):
        read_release(folder)


def test_a_link_to_nowhere_is_refused(folder: Path) -> None:
    (folder / GRAPH).unlink()
    (folder / GRAPH).symlink_to("nowhere")
    with pytest.raises(ReleaseError, match=re.escape(str(folder / GRAPH))):
        read_release(folder)


def test_a_manifest_that_was_made_to_fit_other_files_is_refused(release: Release, folder: Path) -> None:
    """Its digest is requested by name: changing the content changes the digest."""
    forged = make_identity({**_FILES, GRAPH: b"another"})
    manifest = json.loads((folder / MANIFEST).read_bytes())
    manifest["identity"] = json.loads(forged.model_dump_json())
    (folder / GRAPH).write_bytes(b"another")
    for digest in (release.digest, forged.digest):
        manifest["digest"] = digest
        (folder / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n")
        with pytest.raises(ReleaseError, match=f"its content has {forged.digest}, expected is {release.digest}"):
            read_release(folder)


def test_the_release_of_another_digest_is_refused(release: Release, folder: Path, tmp_path: Path) -> None:
    other = make_release(tmp_path, _FILES, seed=1)
    shutil.rmtree(folder)
    Path(other.location).rename(folder)
    with pytest.raises(ReleaseError, match=f"it says digest {other.digest}.*, expected is {release.digest}"):
        read_release(folder)


@pytest.mark.parametrize("found", [3, 5, "4", None])
def test_another_format_is_refused_with_the_command_that_makes_the_release_anew(folder: Path, found: object) -> None:
    manifest = json.loads((folder / MANIFEST).read_bytes())
    manifest["identity"]["format"] = found
    (folder / MANIFEST).write_text(json.dumps(manifest))
    expected = f"has format {found!r}, this Athanor reads {FORMAT}: make it anew with `athanor train delays`"
    with pytest.raises(ReleaseError, match=re.escape(expected)):
        read_release(folder)


def test_an_interrupted_write_is_never_read(tmp_path: Path) -> None:
    files = make_files()
    digest = make_identity(files).digest
    (tmp_path / ".arriving-killed").mkdir()
    (tmp_path / ".arriving-killed" / GRAPH).write_bytes(b"half")
    with pytest.raises(NotFoundError):
        read_release(tmp_path / digest)
    assert make_release(tmp_path, files).digest == digest
