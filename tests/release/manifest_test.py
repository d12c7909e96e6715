"""The identity of a release: what its digest covers, and equal digests for equal releases."""

import hashlib
import json
import math
from typing import Any

import pytest
from pydantic import ValidationError
from support.releases import PROVENANCE, make_files, make_identity

from athanor.release.manifest import Calibration, Identity, Manifest, Refit

_IDENTITY = make_identity(make_files())


def test_the_digest_is_the_sha256_of_sorted_json_without_spaces() -> None:
    canonical = json.dumps(json.loads(_IDENTITY.model_dump_json()), sort_keys=True, separators=(",", ":"))
    assert _IDENTITY.digest == hashlib.sha256(canonical.encode()).hexdigest()


def test_the_digest_does_not_depend_on_the_order_of_what_is_named() -> None:
    turned: Any = {
        name: dict(reversed(value.items())) if isinstance(value, dict) else value
        for name, value in reversed(_IDENTITY.model_dump().items())
    }
    assert list(turned) != list(_IDENTITY.model_dump())
    assert Identity.model_validate(turned).digest == _IDENTITY.digest


@pytest.mark.parametrize(
    "changed",
    [
        {"model": "other"},
        {"task": "regression"},
        {"contract": "0" * 64},
        {"snapshot": "0" * 64},
        {"features": "0" * 64},
        {"recipe": "0" * 64},
        {"split": _IDENTITY.split.model_copy(update={"rows_left_out": 1})},
        {"refit": Refit(rows=120, last_event="", evaluated="0" * 64)},
        {"algorithm": "other"},
        {"parameters": {"middle": 2.0}},
        {"parameters": {"middle": None}},
        {"calibration": Calibration(slope=1.0, intercept=0.0)},
        {"seed": 1},
        {"metrics": {"roc_auc": 0.7500000000000001}},
        {"baseline": {}},
        {"files": {}},
    ],
)
def test_the_digest_covers_every_part(changed: dict[str, Any]) -> None:
    assert _IDENTITY.model_copy(update=changed).digest != _IDENTITY.digest


def test_whole_and_broken_numbers_and_truths_are_different_parameters() -> None:
    digests = {make_identity({}, parameters={"p": value}).digest for value in (1, 1.0, True, "1", None)}
    assert len(digests) == 5


def test_an_identity_comes_back_from_json_with_its_digest() -> None:
    identity = make_identity({}, parameters={"a": 1, "b": 1.0, "c": True, "d": None, "e": "1", "f": 1e-300})
    back = Identity.model_validate_json(identity.model_dump_json())
    assert back == identity
    assert back.digest == identity.digest


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_metrics_are_numbers(value: float) -> None:
    with pytest.raises(ValidationError):
        make_identity({}, metrics={"roc_auc": value})


def test_unknown_fields_and_other_formats_are_refused() -> None:
    for changed in ({"more": 1}, {"format": 1}):
        with pytest.raises(ValidationError):
            Identity.model_validate({**_IDENTITY.model_dump(), **changed})


def test_provenance_is_not_part_of_the_digest() -> None:
    """The same release may be made again at another time, from another commit."""
    other = PROVENANCE.model_copy(update={"commit": "other", "created_at": "2014-01-01T00:00:00+00:00"})
    manifests = [
        Manifest.seal(_IDENTITY, provenance, {}, dict.fromkeys(_IDENTITY.files, 1))
        for provenance in (PROVENANCE, other)
    ]
    assert {manifest.digest for manifest in manifests} == {_IDENTITY.digest}
    assert len({manifest.provenance_digest for manifest in manifests}) == 2
