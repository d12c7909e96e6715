"""Signatures: only the private key makes a valid one, and only for the release that it signed."""

import base64
import errno
import hashlib
import json
import re
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)
from pydantic import ValidationError
from support.releases import make_release

from athanor.errors import ReleaseError, SettingsError, StorageError
from athanor.release.files import MODEL_CARD, Release, digests
from athanor.release.manifest import Manifest
from athanor.release.signing.releases import Signature, make_key, sign, verify_signature
from athanor.release.storage.locations import open_storage
from athanor.release.store import ReleaseStore


def _raw(public: Path) -> bytes:
    loaded = load_pem_public_key(public.read_bytes())
    assert isinstance(loaded, Ed25519PublicKey)
    return loaded.public_bytes(Encoding.Raw, PublicFormat.Raw)


def _changed(made: Signature, **values: Any) -> Signature:
    return Signature.model_validate({**made.model_dump(), **values})


def test_a_pair_of_keys_is_made_and_only_its_owner_reads_the_private_one(tmp_path: Path) -> None:
    made = make_key(tmp_path / "new" / "key")
    assert made == tmp_path / "new" / "key.pub"
    assert stat.S_IMODE((tmp_path / "new" / "key").stat().st_mode) == 0o600
    private = load_pem_private_key((tmp_path / "new" / "key").read_bytes(), password=None)
    assert private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw) == _raw(made)
    assert (tmp_path / "new" / "key").read_bytes().startswith(b"-----BEGIN PRIVATE KEY-----")


@pytest.mark.parametrize("taken", ["key", "key.pub"])
def test_a_key_is_never_replaced(tmp_path: Path, taken: str) -> None:
    (tmp_path / taken).write_bytes(b"dear to me")
    with pytest.raises(SettingsError, match=f"{re.escape(str(tmp_path / taken))} exists already"):
        make_key(tmp_path / "key")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {taken: b"dear to me"}


def test_a_key_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageError, match="file/key cannot be written"):
        make_key(tmp_path / "file" / "key")


def test_a_private_key_is_not_left_without_its_public_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def write(path: Path, content: bytes, mode: int) -> None:
        if path.suffix == ".pub":
            raise OSError(errno.ENOSPC, "No space left on device")
        path.write_bytes(content)

    monkeypatch.setattr("athanor.release.signing.releases.create_file", write)
    with pytest.raises(StorageError, match="No space left"):
        make_key(tmp_path / "key")
    assert not list(tmp_path.iterdir())


def test_a_signed_release_is_proved(release: Release, key: Path, public: Path) -> None:
    signature = sign(release, key)
    assert verify_signature(release, [signature], public) == signature
    assert signature.key_id == hashlib.sha256(_raw(public)).hexdigest()[:16]
    assert signature.digest == release.digest
    assert signature.manifest == hashlib.sha256(Path(release.location, "manifest.json").read_bytes()).hexdigest()


def test_what_is_signed_names_its_purpose_the_model_the_digest_and_the_manifest(
    release: Release, key: Path, public: Path
) -> None:
    """Anybody can check it without this code."""
    signature = sign(release, key)
    message = ["athanor release 1", "delays", release.digest, signature.manifest]
    loaded = Ed25519PublicKey.from_public_bytes(_raw(public))
    loaded.verify(base64.b64decode(signature.signature), json.dumps(message).encode())
    with pytest.raises(InvalidSignature):
        loaded.verify(base64.b64decode(signature.signature), json.dumps(message[1:]).encode())


def test_signing_twice_makes_the_same_signature(release: Release, key: Path) -> None:
    assert sign(release, key).signature == sign(release, key).signature


def test_it_is_verified_by_the_signature_of_the_key_among_other_signatures(
    release: Release, key: Path, public: Path, tmp_path: Path
) -> None:
    make_key(tmp_path / "other")
    mine, other = sign(release, key), sign(release, tmp_path / "other")
    assert verify_signature(release, iter([other, mine]), public) == mine


def test_an_unsigned_release_is_refused(release: Release, public: Path) -> None:
    expected = f"release {release.digest} of delays is not signed by key .* of {re.escape(str(public))}.*no key"
    with pytest.raises(ReleaseError, match=expected):
        verify_signature(release, [], public)


def test_a_release_that_another_signed_is_refused_and_names_the_other(
    release: Release, public: Path, tmp_path: Path
) -> None:
    make_key(tmp_path / "other")
    signature = sign(release, tmp_path / "other")
    with pytest.raises(ReleaseError, match=f"is not signed by key .*; signed by: {signature.key_id}"):
        verify_signature(release, [signature], public)


def test_a_signature_under_the_name_of_my_key_is_refused_if_another_made_it(
    release: Release, key: Path, public: Path, tmp_path: Path
) -> None:
    make_key(tmp_path / "other")
    forged = _changed(sign(release, tmp_path / "other"), key_id=sign(release, key).key_id)
    with pytest.raises(ReleaseError, match="is forged or damaged"):
        verify_signature(release, [forged], public)


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda text: "", id="empty"),
        pytest.param(lambda text: text[:-4], id="cut short"),
        pytest.param(lambda text: "not base64!", id="no base64"),
        pytest.param(lambda text: ("B" if text[0] == "A" else "A") + text[1:], id="changed"),
        pytest.param(lambda text: base64.b64encode(bytes(64)).decode(), id="zeros"),
    ],
)
def test_a_damaged_signature_is_refused(
    release: Release, key: Path, public: Path, damage: Callable[[str], str]
) -> None:
    signature = sign(release, key)
    with pytest.raises(ReleaseError, match="is forged or damaged"):
        verify_signature(release, [_changed(signature, signature=damage(signature.signature))], public)


def _resealed(release: Release, what: str) -> Release:
    """The release after a part was changed, and the manifest adapted."""
    manifest, files = release.manifest, dict(release.files)
    provenance, documents = manifest.provenance, dict(manifest.documents)
    if what == "provenance":
        provenance = provenance.model_copy(update={"is_clean": False})
    else:
        files[MODEL_CARD] = b"a better card"
        documents[MODEL_CARD] = digests(files)[MODEL_CARD]
    sizes = {name: len(content) for name, content in files.items()}
    return Release(release.location, Manifest.seal(manifest.identity, provenance, documents, sizes), files)


@pytest.mark.parametrize("what", ["provenance", "model card"])
@pytest.mark.parametrize("follows", [False, True])
def test_what_the_digest_of_a_release_does_not_cover_is_covered(
    release: Release, key: Path, public: Path, what: str, follows: bool
) -> None:
    changed, signature = _resealed(release, what), sign(release, key)
    assert changed.digest == release.digest
    manifest = hashlib.sha256(changed.manifest.content).hexdigest()
    if follows:
        signature = _changed(signature, manifest=manifest)
    message = "is forged or damaged" if follows else f"{signature.manifest}; this manifest has {manifest}"
    with pytest.raises(ReleaseError, match=message):
        verify_signature(changed, [signature], public)


def test_the_signature_of_another_release_does_not_fit(
    release: Release, key: Path, public: Path, tmp_path: Path
) -> None:
    other = make_release(tmp_path / "candidates", seed=1)
    with pytest.raises(ReleaseError, match=f"is over release {other.digest}"):
        verify_signature(release, [sign(other, key)], public)


@pytest.mark.parametrize("content", [b"", b"no key", None])
def test_a_file_without_a_key_is_refused(release: Release, tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "no key"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SettingsError, match=f"{re.escape(str(path))} cannot be read as a private key"):
        sign(release, path)
    with pytest.raises(SettingsError, match=f"{re.escape(str(path))} cannot be read as a public key"):
        verify_signature(release, [], path)


def test_a_private_key_is_no_public_one_and_a_public_one_no_private_one(
    release: Release, key: Path, public: Path
) -> None:
    with pytest.raises(SettingsError, match="cannot be read as a private key"):
        sign(release, public)
    with pytest.raises(SettingsError, match="cannot be read as a public key"):
        verify_signature(release, [], key)


def test_keys_of_another_kind_are_refused(release: Release, tmp_path: Path) -> None:
    other = ec.generate_private_key(ec.SECP256R1())
    private, public = tmp_path / "ec", tmp_path / "ec.pub"
    private.write_bytes(other.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    public.write_bytes(other.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    with pytest.raises(SettingsError, match="PrivateKey; releases need an Ed25519 key"):
        sign(release, private)
    with pytest.raises(SettingsError, match="PublicKey; releases need an Ed25519 key"):
        verify_signature(release, [], public)


def test_a_key_with_a_password_is_refused(release: Release, key: Path, tmp_path: Path) -> None:
    loaded = load_pem_private_key(key.read_bytes(), password=None)
    locked = tmp_path / "locked"
    locked.write_bytes(loaded.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")))
    with pytest.raises(SettingsError, match=r"locked cannot be read as a private key: .*[Pp]assword"):
        sign(release, locked)


def test_signatures_lie_beside_the_releases_one_for_each_key(
    location: str, release: Release, key: Path, tmp_path: Path
) -> None:
    store = ReleaseStore(location)
    store.publish(release)
    assert store.read_signatures("delays", release.digest) == ()
    make_key(tmp_path / "other")
    made = [sign(release, path) for path in (key, tmp_path / "other", key)]
    for signature in made:
        store.write_signature("delays", release.digest, signature)
    assert set(store.read_signatures("delays", release.digest)) == set(made[1:])
    names = open_storage(location).list_names(f"signatures/delays/{release.digest}")
    assert names == sorted(f"{signature.key_id}.json" for signature in made[:2])
    assert store.read("delays", release.digest).files == release.files


def test_signatures_stay_when_the_release_is_removed_and_fit_when_it_is_back(
    location: str, release: Release, key: Path, public: Path
) -> None:
    store = ReleaseStore(location)
    store.publish(release)
    store.write_signature("delays", release.digest, sign(release, key))
    store.remove("delays", release.digest)
    store.publish(release)
    signatures = store.read_signatures("delays", release.digest)
    verify_signature(store.read("delays", release.digest), signatures, public)


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff", b'{"key_id": "../../x"}'])
def test_a_file_that_is_no_signature_is_refused(tmp_path: Path, release: Release, content: bytes) -> None:
    path = tmp_path / "signatures" / "delays" / release.digest / "0123456789abcdef.json"
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    with pytest.raises(ReleaseError, match=f"{re.escape(str(path))} is not a signature"):
        ReleaseStore(tmp_path).read_signatures("delays", release.digest)


@pytest.mark.parametrize("changed", [{"key_id": "../x"}, {"digest": "a"}, {"manifest": ""}, {"more": 1}])
def test_a_signature_is_closed(release: Release, key: Path, changed: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        _changed(sign(release, key), **changed)


def test_a_model_of_another_name_has_another_message(key: Path, public: Path, tmp_path: Path) -> None:
    """The signature covers the name, so that no release answers in the name of another."""
    one, other = (make_release(tmp_path / "candidates", model=name) for name in ("one", "other"))
    signature = _changed(
        sign(one, key), digest=other.digest, manifest=hashlib.sha256(other.manifest.content).hexdigest()
    )
    with pytest.raises(ReleaseError, match="is forged or damaged"):
        verify_signature(other, [signature], public)
