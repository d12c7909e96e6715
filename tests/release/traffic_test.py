"""The traffic file: what it may hold, and what follows from it."""

import json
from typing import Any, Final

import pytest
from pydantic import ValidationError

from athanor.errors import NotFoundError
from athanor.release.traffic import MOST_PINNED, VARIANTS, Challenger, Served, Traffic

_CHAMPION: Final = Served(digest="a" * 64, semantic_version="1.0.0")
_CHALLENGER: Final = Challenger(digest="b" * 64, semantic_version="1.0.1", weight=0.9)
_SHADOW: Final = Served(digest="c" * 64, semantic_version="1.1.0")
_ALONE: Final = Traffic(model="delays", revision=3, champion=_CHAMPION)
_ALL: Final = Traffic(model="delays", revision=7, champion=_CHAMPION, challenger=_CHALLENGER, shadow=_SHADOW)
_WITHDRAWN: Final = Traffic(model="delays", revision=4, champion=None)
_PINNED: Final = _ALL.model_copy(update={"pinned": (_CHAMPION, Served(digest="d" * 64, semantic_version="0.9.0"))})


def test_a_file_of_before_there_were_challengers_is_read() -> None:
    content = {"model": "delays", "revision": 3, "champion": {"digest": "a" * 64, "semantic_version": "1.0.0"}}
    assert Traffic.model_validate_json(json.dumps(content)) == _ALONE


def test_a_file_of_before_there_were_pins_is_read_and_written_alike() -> None:
    """Its signature stays valid, and a replica of before reads it."""
    before = {**_ALL.model_dump(mode="json")}
    del before["pinned"]
    assert Traffic.model_validate(before) == _ALL
    assert _ALL.document() == before
    assert "pinned" in _PINNED.document()


@pytest.mark.parametrize("traffic", [_ALONE, _ALL, _PINNED, _WITHDRAWN])
def test_what_is_written_is_read_again(traffic: Traffic) -> None:
    assert Traffic.model_validate_json(json.dumps(traffic.document())) == traffic


def test_it_tells_who_takes_part() -> None:
    assert _ALONE.served == {"champion": _CHAMPION}
    assert _ALL.served == {"champion": _CHAMPION, "challenger": _CHALLENGER, "shadow": _SHADOW}
    assert tuple(_ALL.served) == VARIANTS


def test_champion_and_challenger_answer_for_all_keys_and_a_shadow_for_none() -> None:
    assert _ALONE.weights == {"champion": 1.0}
    assert _ALL.weights == {"champion": 0.1, "challenger": 0.9, "shadow": 0.0}


@pytest.mark.parametrize(
    ("variant", "changed"),
    [
        *(("challenger", {"weight": weight}) for weight in (0, 1, -0.1, 1.5, float("nan"), float("inf"), "much", None)),
        ("challenger", {"digest": "b" * 63}),
        ("challenger", {"semantic_version": "1.0"}),
        ("challenger", {"more": 1}),
        ("shadow", {"weight": 0.5}),
        ("shadow", {"digest": "C" * 64}),
        ("champion", {"weight": 0.5}),
    ],
)
def test_what_cannot_be_is_refused_and_named(variant: str, changed: dict[str, Any]) -> None:
    whole = _ALL.model_dump()
    with pytest.raises(ValidationError, match=rf"{variant}\.{next(iter(changed))}"):
        Traffic.model_validate({**whole, variant: {**whole[variant], **changed}})


def test_without_a_champion_nothing_answers() -> None:
    with pytest.raises(NotFoundError, match=r"of delays .* withdrawn in revision 4; promote one, or roll back"):
        _WITHDRAWN.require_champion()
    assert (_WITHDRAWN.releases, _WITHDRAWN.weights) == ((), {})
    assert _ALONE.require_champion() == _CHAMPION


@pytest.mark.parametrize("beside", [{"challenger": _CHALLENGER}, {"shadow": _SHADOW}, {"pinned": (_SHADOW,)}])
def test_no_release_stands_beside_a_champion_that_was_withdrawn(beside: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=rf"1\.\d\.\d is {next(iter(beside))}, and there is no champion"):
        Traffic.model_validate({**_WITHDRAWN.model_dump(), **beside})


def test_a_file_that_does_not_name_a_champion_is_damaged() -> None:
    with pytest.raises(ValidationError, match="champion"):
        Traffic.model_validate({"model": "delays", "revision": 3})


def test_a_pinned_release_may_be_a_variant_too_and_has_no_share_of_the_keys() -> None:
    assert _PINNED.served == _ALL.served
    assert _PINNED.weights == _ALL.weights
    found = [(role, served.semantic_version, _PINNED.weight_of(role)) for role, served in _PINNED.releases]
    assert found == [
        ("champion", "1.0.0", 0.1),
        ("challenger", "1.0.1", 0.9),
        ("shadow", "1.1.0", 0.0),
        ("pinned", "1.0.0", 0.0),
        ("pinned", "0.9.0", 0.0),
    ]


def test_a_version_that_is_pinned_twice_is_refused_and_named() -> None:
    with pytest.raises(ValidationError, match=r"1.0.0 is pinned twice"):
        Traffic.model_validate({**_ALL.model_dump(), "pinned": [_CHAMPION, _SHADOW, _CHAMPION]})


def test_too_many_pinned_releases_are_refused() -> None:
    pinned = [Served(digest="d" * 64, semantic_version=f"1.0.{number}") for number in range(MOST_PINNED + 1)]
    with pytest.raises(ValidationError, match="at most 20 items"):
        Traffic.model_validate({**_ALL.model_dump(), "pinned": pinned})
    assert Traffic.model_validate({**_ALL.model_dump(), "pinned": pinned[1:]}).pinned == tuple(pinned[1:])
