"""A required signature covers the traffic too: no older release comes back, and none under another number."""

import base64
from pathlib import Path
from typing import Any

import pytest
from support.releases import make_release

from athanor.errors import ReleaseError, StorageError
from athanor.release.files import Release
from athanor.release.signing.releases import make_key, sign
from athanor.release.signing.traffic import TrafficSignature, sign_traffic, verify_traffic
from athanor.release.signing.trust import Trust
from athanor.release.store import ReleaseStore
from athanor.release.traffic import Challenger, Served, Traffic


@pytest.fixture
def trust(public: Path, tmp_path: Path) -> Trust:
    return Trust(public, tmp_path / "service" / "delays.served.json")


def _traffic(revision: int, digest: str = "a" * 64, number: str = "1.0.0") -> Traffic:
    return Traffic(model="delays", revision=revision, champion=Served(digest=digest, semantic_version=number))


def _publish(store: ReleaseStore, traffic: Traffic, key: Path) -> TrafficSignature:
    store.write_traffic(traffic)
    signature = sign_traffic(traffic, key)
    store.write_traffic_signature(traffic.model, signature)
    return signature


def test_signed_traffic_is_accepted(store: ReleaseStore, trust: Trust, key: Path) -> None:
    signature = _publish(store, _traffic(3), key)
    trust.require_traffic(store, store.read_traffic("delays"))
    assert store.read_traffic_signatures("delays") == (signature,)


def test_unsigned_traffic_is_refused_with_the_command_that_signs_it(local: ReleaseStore, trust: Trust) -> None:
    expected = (
        "traffic revision 3 of delays is not signed by key .*no key. Sign it with `athanor registry sign-traffic "
    )
    with pytest.raises(ReleaseError, match=expected):
        trust.require_traffic(local, _traffic(3))


def test_traffic_signed_by_another_is_refused(local: ReleaseStore, trust: Trust, tmp_path: Path) -> None:
    make_key(tmp_path / "other")
    signature = _publish(local, _traffic(3), tmp_path / "other")
    with pytest.raises(ReleaseError, match=f"is not signed by key .*; signed by: {signature.key_id}"):
        trust.require_traffic(local, _traffic(3))


_SIGNED = _traffic(3).model_copy(
    update={
        "challenger": Challenger(digest="b" * 64, semantic_version="1.1.0", weight=0.1),
        "pinned": (Served(digest="e" * 64, semantic_version="0.9.0"),),
    }
)


@pytest.mark.parametrize(
    "changed",
    [
        {"revision": 4},
        {"model": "other"},
        {"champion": Served(digest="a" * 64, semantic_version="9.9.9")},
        {"champion": Served(digest="c" * 64, semantic_version="1.0.0")},
        {"challenger": None},
        {"challenger": Challenger(digest="b" * 64, semantic_version="1.1.0", weight=0.9)},
        {"shadow": Served(digest="d" * 64, semantic_version="1.2.0")},
        {"pinned": (Served(digest="d" * 64, semantic_version="1.2.0"),)},
        {"pinned": ()},
    ],
    ids=str,
)
def test_whatever_decides_is_signed(key: Path, public: Path, changed: dict[str, Any]) -> None:
    signature = sign_traffic(_SIGNED, key)
    assert verify_traffic(_SIGNED, [signature], public) == signature
    with pytest.raises(ReleaseError, match=r"it was moved or changed since|is forged or damaged"):
        verify_traffic(_SIGNED.model_copy(update=changed), [signature], public)


@pytest.mark.parametrize("changed", [{"at": "2020-01-01T00:00:00+00:00"}, {"signature": ""}, {"signature": "?"}])
def test_a_changed_signature_is_refused(key: Path, public: Path, changed: dict[str, Any]) -> None:
    signature = sign_traffic(_SIGNED, key).model_copy(update=changed)
    with pytest.raises(ReleaseError, match="is forged or damaged"):
        verify_traffic(_SIGNED, [signature], public)


def test_a_signature_of_a_release_is_none_of_traffic(key: Path, public: Path, release: Release) -> None:
    made = sign_traffic(_SIGNED, key)
    of_release = sign(release, key)
    forged = made.model_copy(update={"signature": of_release.signature})
    assert len(base64.b64decode(forged.signature)) == 64
    with pytest.raises(ReleaseError, match="is forged or damaged"):
        verify_traffic(_SIGNED, [forged], public)


def test_an_older_traffic_file_that_is_put_back_is_refused_over_a_restart(
    local: ReleaseStore, trust: Trust, public: Path, key: Path
) -> None:
    _publish(local, old := _traffic(3), key)
    trust.require_traffic(local, old)
    trust.remember(old)
    trust.require_traffic(local, old)
    _publish(local, new := _traffic(4, digest="b" * 64, number="1.1.0"), key)
    trust.require_traffic(local, new)
    trust.remember(new)
    _publish(local, old, key)
    with pytest.raises(
        ReleaseError, match="revision 3 of delays is refused: this service has served revision 4, and an"
    ):
        Trust(public, trust.memory).require_traffic(local, old)


def test_a_withdrawn_champion_does_not_come_back_by_its_old_traffic_file(
    local: ReleaseStore, trust: Trust, key: Path
) -> None:
    _publish(local, old := _traffic(3), key)
    trust.remember(old)
    _publish(local, withdrawn := Traffic(model="delays", revision=4, champion=None), key)
    trust.require_traffic(local, withdrawn)
    _publish(local, old, key)
    with pytest.raises(ReleaseError, match="has served revision 4, and an older traffic file was put back"):
        trust.require_traffic(local, old)


def test_another_traffic_of_the_same_revision_is_refused(local: ReleaseStore, trust: Trust, key: Path) -> None:
    _publish(local, _traffic(3), key)
    trust.remember(_traffic(3))
    _publish(local, other := _traffic(3, digest="b" * 64), key)
    with pytest.raises(ReleaseError, match="served revision 3, and its content is another"):
        trust.require_traffic(local, other)


def test_a_replica_that_is_behind_undoes_nothing(trust: Trust) -> None:
    for revision in (4, 3):
        trust.remember(_traffic(revision))
    assert trust.memory is not None
    assert '"revision":4' in trust.memory.read_text()


@pytest.mark.parametrize("content", [b"", b"{}", b"[" * 10_000])
def test_a_damaged_memory_is_refused_with_a_remedy(
    local: ReleaseStore, trust: Trust, key: Path, content: bytes
) -> None:
    _publish(local, traffic := _traffic(3), key)
    assert trust.memory is not None
    trust.memory.parent.mkdir()
    trust.memory.write_bytes(content)
    with pytest.raises(ReleaseError, match=r"(?s)delays\.served\.json, .* cannot be read: .*remove it once"):
        trust.require_traffic(local, traffic)


def test_a_memory_that_cannot_be_written_is_said(trust: Trust) -> None:
    assert trust.memory is not None
    trust.memory.parent.write_bytes(b"no folder")
    with pytest.raises((StorageError, ReleaseError), match=r"delays\.served\.json"):
        trust.remember(_traffic(1))


def test_releases_need_their_own_signature(local: ReleaseStore, trust: Trust, key: Path, tmp_path: Path) -> None:
    release = make_release(tmp_path / "candidates", seed=7)
    with pytest.raises(ReleaseError, match=f"release {release.digest} of delays is not signed"):
        trust.require_release(local, release)
    local.write_signature("delays", release.digest, sign(release, key))
    trust.require_release(local, release)
