"""The traffic file: what it may hold, and what follows from it."""

import json
from typing import Any, Final

import pytest
from pydantic import ValidationError

from athanor.release.traffic import VARIANTS, Challenger, Served, Traffic

_CHAMPION: Final = Served(digest="a" * 64, semantic_version="1.0.0")
_CHALLENGER: Final = Challenger(digest="b" * 64, semantic_version="1.0.1", weight=0.9)
_SHADOW: Final = Served(digest="c" * 64, semantic_version="1.1.0")
_ALONE: Final = Traffic(model="delays", revision=3, champion=_CHAMPION)
_ALL: Final = Traffic(model="delays", revision=7, champion=_CHAMPION, challenger=_CHALLENGER, shadow=_SHADOW)


def test_a_file_of_before_there_were_challengers_is_read() -> None:
    content = {"model": "delays", "revision": 3, "champion": {"digest": "a" * 64, "semantic_version": "1.0.0"}}
    assert Traffic.model_validate_json(json.dumps(content)) == _ALONE


@pytest.mark.parametrize("traffic", [_ALONE, _ALL])
def test_what_is_written_is_read_again(traffic: Traffic) -> None:
    assert Traffic.model_validate_json(traffic.model_dump_json(indent=2)) == traffic


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


def test_without_a_champion_it_is_none() -> None:
    whole = _ALL.model_dump()
    with pytest.raises(ValidationError, match="champion"):
        Traffic.model_validate({**whole, "champion": None})
