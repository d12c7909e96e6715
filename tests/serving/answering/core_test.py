"""The core behind every door."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from support.flights import make_flight
from support.releases import expected_probability, make_files, make_release
from support.serving import make_request, predict

from athanor.errors import (
    FieldViolation,
    InvalidRequestError,
    ModelNotFoundError,
    NotFoundError,
    ReleaseError,
    SettingsError,
)
from athanor.release.files import GRAPH, MANIFEST, Release
from athanor.release.manifest import Manifest
from athanor.release.signing.releases import make_key, sign
from athanor.release.signing.traffic import sign_traffic
from athanor.release.signing.trust import Trust
from athanor.release.store import ReleaseStore
from athanor.release.traffic import Served, Traffic
from athanor.serving.answering.core import Core
from athanor.serving.answering.loading import Loader
from athanor.serving.formats import typed
from delays.v1 import delays_pb2
from projects.delays.model import MODEL


def _refuse(core: Core, *flights: delays_pb2.Flight) -> tuple[FieldViolation, ...]:
    with pytest.raises(InvalidRequestError) as caught:
        predict(core, make_request(*flights))
    return caught.value.violations


def test_it_answers_each_row_in_the_order_given(core: Core, release: Release) -> None:
    distances = [100.0, 5_000.0, 1_000.0]
    response = predict(core, make_request(*(make_flight(distance=d) for d in distances)), "my request")
    assert response.DESCRIPTOR.full_name == delays_pb2.PredictResponse.DESCRIPTOR.full_name
    found = [prediction.late_probability for prediction in response.predictions]
    assert found == pytest.approx([expected_probability(d) for d in distances], abs=1e-6)
    assert (response.model_name, response.semantic_version) == ("delays", "1.2.3")
    assert (response.release_digest, response.request_id, response.variant) == (
        release.digest,
        "my request",
        "champion",
    )


@pytest.mark.parametrize(
    "fields",
    [{"model_name": "delays"}, {"semantic_version": "1.2.3"}, {"model_name": "", "semantic_version": ""}],
)
def test_model_and_version_may_be_named(core: Core, fields: dict[str, str]) -> None:
    response = predict(core, make_request(make_flight(), **fields))
    assert len(response.predictions) == 1


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"model_name": "weather"}, "model 'weather' is not served here; 'delays' is"),
        ({"model_name": "Delays"}, "model 'Delays' is not served here"),
        ({"semantic_version": "1.2.4"}, "delays '1.2.4' is not served; ask for '1.2.3'"),
        ({"semantic_version": "1.2"}, "delays '1.2' is not served"),
    ],
)
def test_another_model_or_version_is_not_found(core: Core, fields: dict[str, str], message: str) -> None:
    with pytest.raises(ModelNotFoundError, match=message):
        predict(core, make_request(make_flight(), **fields))


def test_a_request_without_rows_is_refused(core: Core) -> None:
    assert _refuse(core) == (FieldViolation("flights", "REQUIRED", "is required; give at least one"),)


def test_too_many_rows_are_refused_before_they_are_read(core: Core) -> None:
    predict(core, make_request(*[make_flight()] * 50))
    assert _refuse(core, *[make_flight(distance=-1)] * 51) == (
        FieldViolation("flights", "TOO_MANY", "has more than 50 rows; give no more"),
    )


def test_violations_are_ordered_by_row_and_then_by_field(core: Core) -> None:
    good = make_flight()
    bad = make_flight(distance=-1, carrier="united", flight_number=None, temperature=float("inf"))
    worse = make_flight(origin="LHR", scheduled_departure=Timestamp(seconds=2**62))
    found = _refuse(core, good, bad, good, worse)
    assert [(violation.field, violation.rule) for violation in found] == [
        ("flights[1].carrier", "PATTERN"),
        ("flights[1].flight_number", "REQUIRED"),
        ("flights[1].distance", "MINIMUM"),
        ("flights[1].temperature", "FINITE"),
        ("flights[3].scheduled_departure", "TIMESTAMP"),
        ("flights[3].origin", "CATEGORY"),
    ]
    assert found[5].description == "'LHR' is not allowed (CATEGORY); give one of EWR, JFK, LGA"


def test_an_empty_row_misses_every_required_column(core: Core) -> None:
    found = _refuse(core, delays_pb2.Flight())
    assert {violation.rule for violation in found} == {"REQUIRED"}
    assert [violation.field.removeprefix("flights[0].") for violation in found] == [
        column.name for column in MODEL.contract.columns if not column.may_be_missing
    ]


def test_optional_values_may_be_absent_or_nan(core: Core) -> None:
    predict(core, make_request(make_flight(temperature=None), make_flight(temperature=float("nan"))))


def test_malformed_bytes_are_refused_with_the_expected_message(core: Core) -> None:
    with pytest.raises(InvalidRequestError, match=r"the bytes are not a valid delays\.v1\.PredictRequest: "):
        typed.parse(core.interface, b"\xff")


def test_a_good_request_is_answered_after_a_bad_one(core: Core) -> None:
    for bad in (
        make_request(),
        make_request(make_flight(distance=-1)),
        make_request(make_flight(), model_name="weather"),
    ):
        with pytest.raises((InvalidRequestError, ModelNotFoundError)):
            predict(core, bad)
        response = predict(core, make_request(make_flight(distance=1_000)))
        assert response.predictions[0].late_probability == pytest.approx(0.5)


def test_it_does_not_start_without_traffic(store: ReleaseStore) -> None:
    with pytest.raises(NotFoundError, match="no release of delays takes traffic"):
        Core(Loader(MODEL.name, store, max_rows=1))


def test_it_does_not_start_on_a_tampered_release(store: ReleaseStore, release: Release) -> None:
    path = Path(store.location, "releases", MODEL.name, release.digest, GRAPH)
    path.write_bytes(path.read_bytes().replace(b"Sigmoid", b"Softmax"))
    with pytest.raises(ReleaseError, match=f"{path.name} is corrupted or was tampered with"):
        Core(Loader(MODEL.name, store, max_rows=1))


@pytest.fixture
def key(tmp_path: Path) -> Path:
    make_key(tmp_path / "key")
    return tmp_path / "key"


@pytest.fixture
def public(key: Path) -> Path:
    return key.with_name("key.pub")


def _sign(store: ReleaseStore, release: Release, key: Path) -> None:
    store.write_signature(MODEL.name, release.digest, sign(release, key))
    _sign_traffic(store, key)


def _sign_traffic(store: ReleaseStore, key: Path) -> None:
    store.write_traffic_signature(MODEL.name, sign_traffic(store.read_traffic(MODEL.name), key))


def test_a_signed_release_is_served_where_signatures_are_required(
    store: ReleaseStore, release: Release, key: Path, public: Path
) -> None:
    _sign(store, release, key)
    response = predict(Core(Loader(MODEL.name, store, max_rows=1, trust=Trust(public))), make_request(make_flight()))
    assert response.release_digest == release.digest


def test_an_unsigned_release_is_refused_where_signatures_are_required(
    store: ReleaseStore, release: Release, key: Path, public: Path
) -> None:
    _sign_traffic(store, key)
    with pytest.raises(ReleaseError, match=f"release {release.digest} of delays is not signed by key"):
        Core(Loader(MODEL.name, store, max_rows=1, trust=Trust(public)))


def test_a_release_signed_by_another_key_is_refused(
    store: ReleaseStore, release: Release, key: Path, public: Path, tmp_path: Path
) -> None:
    make_key(tmp_path / "other")
    _sign(store, release, tmp_path / "other")
    _sign_traffic(store, key)
    with pytest.raises(ReleaseError, match=f"{release.digest} of delays is not signed by key"):
        Core(Loader(MODEL.name, store, max_rows=1, trust=Trust(public)))


def test_a_changed_provenance_is_refused_only_where_signatures_are_required(
    store: ReleaseStore, release: Release, key: Path, public: Path
) -> None:
    _sign(store, release, key)
    manifest = release.manifest
    changed = Manifest.seal(
        manifest.identity,
        manifest.provenance.model_copy(update={"commit": "other"}),
        manifest.documents,
        manifest.sizes,
    )
    Path(store.location, "releases", MODEL.name, release.digest, MANIFEST).write_bytes(changed.content)
    Core(Loader(MODEL.name, store, max_rows=1))
    with pytest.raises(
        ReleaseError, match=f"signature of release {release.digest} .* It was changed or made again since"
    ):
        Core(Loader(MODEL.name, store, max_rows=1, trust=Trust(public)))


def test_a_graph_is_not_loaded_before_its_signature_is_verified(
    store: ReleaseStore, tmp_path: Path, key: Path, public: Path
) -> None:
    """Until then a graph is untrusted input: nothing may parse it."""
    broken = make_release(tmp_path / "candidates", make_files(model=b"no graph"))
    store.publish(broken)
    store.write_traffic(
        Traffic(model=MODEL.name, revision=2, champion=Served(digest=broken.digest, semantic_version="1.2.4"))
    )
    with pytest.raises(ReleaseError, match="cannot be run"):
        Core(Loader(MODEL.name, store, max_rows=1))
    _sign_traffic(store, key)
    with pytest.raises(ReleaseError, match=f"release {broken.digest} of delays is not signed by key"):
        Core(Loader(MODEL.name, store, max_rows=1, trust=Trust(public)))


def test_an_unreadable_public_key_is_named(store: ReleaseStore, release: Release, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"absent\.pub cannot be read as a public key"):
        Core(Loader(MODEL.name, store, max_rows=1, trust=Trust(tmp_path / "absent.pub")))


def test_it_serves_from_a_store_at_a_url(release: Release, store: ReleaseStore) -> None:
    served = Core(Loader(MODEL.name, ReleaseStore(Path(store.location).as_uri()), max_rows=1))
    response = predict(served, make_request(make_flight()))
    assert response.release_digest == release.digest


def test_no_project_and_no_library_that_is_not_needed_is_imported(store: ReleaseStore, release: Release) -> None:
    program = (
        "import sys; from athanor.release.store import ReleaseStore; from athanor.serving.answering.core import Core; "
        "from athanor.serving.answering.loading import Loader; "
        "Core(Loader('delays', ReleaseStore(sys.argv[1]), 1)); "
        "print({'cryptography', 'fsspec', 'projects', 'athanor.features', 'delays'} & set(sys.modules))"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    done = subprocess.run(
        [sys.executable, "-c", program, store.location], capture_output=True, text=True, env=environment, check=False
    )
    assert (done.stdout, done.stderr) == ("set()\n", "")
