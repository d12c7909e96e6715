"""Releases of one package and different wires answer side by side."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from support.answers import probabilities_of
from support.flights import make_flight
from support.reading import finish
from support.releases import expected_probability
from support.serving import FIRST, SECOND, VERSIONS, Stage, ask, make_request
from support.wires import add_column, make_release_of, next_major, widen

from athanor.contract.contract import Contract
from athanor.errors import InvalidRequestError
from athanor.release.traffic import Challenger, Served, Traffic
from athanor.serving.answering.core import Core
from athanor.serving.answering.loading import Loader
from athanor.serving.answering.prepared import Answer
from athanor.serving.formats import typed
from athanor.serving.formats.raw.wire import SMALL_BYTES
from delays.v1 import delays_pb2
from projects.delays.model import MODEL

_LONGEST = MODEL.contract.column("distance").maximum
_FAR = _LONGEST + 500
_WIDER = widen(_LONGEST + 1_000)


def _publish(stage: Stage, folder: Path, contract: Contract, version: str = "5.0.0") -> Served:
    release = make_release_of(folder, contract, SECOND)
    stage.store.publish(release)
    return Served(digest=release.digest, semantic_version=version)


def _usual(stage: Stage) -> Served:
    return Served(digest=stage.releases[FIRST].digest, semantic_version=VERSIONS[FIRST])


def _load(
    stage: Stage,
    champion: Served,
    challenger: Served | None = None,
    shadow: Served | None = None,
    weight: float = 0.5,
    pinned: Sequence[Served] = (),
) -> Core:
    share = None if challenger is None else Challenger(**challenger.model_dump(), weight=weight)
    traffic = Traffic(
        model=MODEL.name, revision=7, champion=champion, challenger=share, shadow=shadow, pinned=tuple(pinned)
    )
    stage.store.write_traffic(traffic)
    return Core(Loader(MODEL.name, stage.store, max_rows=1_000))


def _answer(core: Core, distance: float, **asked: str) -> Answer:
    return core.answer(ask(core, make_flight(distance=distance), **asked))


@pytest.mark.parametrize("newer_is", ["champion", "challenger"])
def test_the_newest_wire_is_spoken(stage: Stage, tmp_path: Path, newer_is: str) -> None:
    newer, usual = _publish(stage, tmp_path, _WIDER), _usual(stage)
    core = _load(stage, newer, usual) if newer_is == "champion" else _load(stage, usual, newer)
    assert core.interface.contract.fingerprint == _WIDER.fingerprint


def test_a_row_that_the_chosen_release_does_not_allow_is_answered_by_one_that_does(
    stage: Stage, tmp_path: Path
) -> None:
    newer = _publish(stage, tmp_path, _WIDER)
    core = _load(stage, _usual(stage), newer, weight=1e-9)
    near, far = _answer(core, 500), _answer(core, _FAR)
    assert (near.variant.name, near.is_redirected) == ("champion", False)
    assert (far.variant.name, far.is_redirected) == ("challenger", True)
    assert probabilities_of(far)[0] == pytest.approx(expected_probability(_FAR, SECOND), abs=1e-6)


def test_each_question_of_a_batch_goes_where_it_is_allowed(stage: Stage, tmp_path: Path) -> None:
    core = _load(stage, _usual(stage), _publish(stage, tmp_path, _WIDER), weight=1e-9)
    distances = [100.0, _FAR, 200.0, _FAR + 1, 300.0]
    answers = core.answer_together([ask(core, make_flight(distance=distance)) for distance in distances])
    for answer, distance in zip(answers, distances, strict=True):
        assert isinstance(answer, Answer)
        middle = SECOND if distance > _LONGEST else FIRST
        assert probabilities_of(answer).tolist() == pytest.approx([expected_probability(distance, middle)], abs=1e-6)


def test_a_version_that_is_named_refuses_what_it_does_not_allow(stage: Stage, tmp_path: Path) -> None:
    core = _load(stage, _usual(stage), _publish(stage, tmp_path, _WIDER))
    with pytest.raises(InvalidRequestError) as caught:
        core.answer(ask(core, make_flight(distance=1), make_flight(distance=_FAR), semantic_version=VERSIONS[FIRST]))
    assert [(v.field, v.rule) for v in caught.value.violations] == [("flights[1].distance", "MAXIMUM")]
    assert _answer(core, _FAR, semantic_version="5.0.0").variant.name == "challenger"


def test_callers_send_nothing_for_a_shadow_alone(stage: Stage, tmp_path: Path) -> None:
    core = _load(stage, _usual(stage), shadow=_publish(stage, tmp_path, _WIDER))
    assert core.interface.contract.fingerprint == MODEL.contract.fingerprint
    with pytest.raises(InvalidRequestError):
        _answer(core, _FAR)


def test_a_new_column_is_missing_in_rows_of_before(stage: Stage, tmp_path: Path) -> None:
    core = _load(stage, _usual(stage))
    before = ask(core, make_flight(distance=500))
    later = _load(stage, _publish(stage, tmp_path, add_column()))
    core.traffic = later.traffic
    answer = core.answer(before)
    assert answer.columns["gate"].tolist() == [""]
    assert probabilities_of(answer).tolist() == pytest.approx([expected_probability(500, SECOND)], abs=1e-6)


@pytest.mark.parametrize("count", [1, 400])
@pytest.mark.parametrize(("sent", "read"), [(b"A1", "A1"), (b"\xff", "")])
def test_a_column_that_was_sent_before_its_release_came_is_read(
    stage: Stage, tmp_path: Path, sent: bytes, read: str, count: int
) -> None:
    """Its answer is by that release, and must be the release's own. A text that is not UTF-8 was no column's yet."""
    newer, core = add_column(), _load(stage, _usual(stage))
    number = newer.row.fields_by_name["gate"].number
    flight = make_flight(distance=500).SerializeToString() + bytes([number << 3 & 0x7F | 0x82, number >> 4, len(sent)])
    request = make_request(*count * [delays_pb2.Flight.FromString(flight + sent)]).SerializeToString()
    before = finish(typed.read(core.interface, request))
    assert (before.columns is None) == (len(request) <= SMALL_BYTES) == (count == 1)
    core.traffic = _load(stage, _publish(stage, tmp_path, newer)).traffic
    assert core.answer(before).columns["gate"].tolist() == count * [read]


def test_a_column_that_is_gone_is_left_out(stage: Stage, tmp_path: Path) -> None:
    core = _load(stage, _publish(stage, tmp_path, add_column()))
    before = finish(typed.read(core.interface, make_request(make_flight(distance=500)).SerializeToString()))
    core.traffic = _load(stage, _usual(stage)).traffic
    assert "gate" not in core.answer(before).columns


def test_the_same_wire_keeps_its_interface(stage: Stage, tmp_path: Path) -> None:
    core = _load(stage, _usual(stage))
    loader = Loader(MODEL.name, stage.store, max_rows=100)
    again = loader.load(stage.direct(SECOND, FIRST, 0.5), core.traffic)
    assert again.interface is core.interface
    assert loader.load(_load(stage, _publish(stage, tmp_path, _WIDER)).traffic.traffic).interface is not core.interface


def test_a_challenger_that_breaks_the_champion_s_callers_takes_no_part(stage: Stage, tmp_path: Path) -> None:
    """Each allows what the other does not: no wire would fit both."""
    wider = _publish(stage, tmp_path / "wider", _WIDER)
    core = _load(stage, wider, _publish(stage, tmp_path / "longer", add_column()))
    assert core.traffic.challenger is None
    assert "the challenger 5.0.0 cannot be loaded and takes no part" in str(core.traffic.failure)
    assert "breaks the champion's callers: " in str(core.traffic.failure)
    assert str(core.traffic.failure).endswith("declare it as delays.v2")
    assert np.isfinite(probabilities_of(_answer(core, _FAR))).all()


def test_a_challenger_of_another_package_takes_no_part(stage: Stage, tmp_path: Path) -> None:
    core = _load(stage, _usual(stage), _publish(stage, tmp_path, next_major()))
    assert core.traffic.challenger is None
    assert "there is no release" in str(core.traffic.failure)


def test_an_older_pinned_release_narrows_nothing_and_refuses_what_it_does_not_allow(
    stage: Stage, tmp_path: Path
) -> None:
    core = _load(stage, _publish(stage, tmp_path, _WIDER), pinned=[_usual(stage)])
    assert core.interface.contract.fingerprint == _WIDER.fingerprint
    far, near = make_flight(distance=_FAR), make_flight(distance=1)
    assert core.answer(ask(core, far)).variant.name == "champion"
    assert core.answer(ask(core, near, semantic_version=VERSIONS[FIRST])).variant.name == "pinned"
    questions = [ask(core, near, far, semantic_version=VERSIONS[FIRST]), ask(core, far)]
    refused, answer = core.answer_together(questions)
    assert isinstance(refused, InvalidRequestError)
    assert [(v.field, v.rule) for v in refused.violations] == [("flights[1].distance", "MAXIMUM")]
    assert isinstance(answer, Answer)
    assert (answer.variant.name, answer.is_redirected) == ("champion", False)


def test_callers_can_send_what_a_newer_pinned_release_allows(stage: Stage, tmp_path: Path) -> None:
    """As after a roll-back from it."""
    core = _load(stage, _usual(stage), pinned=[_publish(stage, tmp_path, _WIDER)])
    assert core.interface.contract.fingerprint == core.traffic.described.fingerprint == _WIDER.fingerprint
    answer = _answer(core, _FAR, semantic_version="5.0.0")
    assert (answer.variant.name, answer.is_redirected) == ("pinned", False)
    assert probabilities_of(answer)[0] == pytest.approx(expected_probability(_FAR, SECOND), abs=1e-6)
    assert _answer(core, 500).variant.name == "champion"


@pytest.mark.parametrize("is_challenged", [False, True])
def test_a_row_that_pinned_releases_alone_allow_is_refused_without_their_version(
    stage: Stage, tmp_path: Path, is_challenged: bool
) -> None:
    middle = _publish(stage, tmp_path / "middle", widen(_LONGEST + 100), "4.0.0") if is_challenged else None
    core = _load(stage, _usual(stage), middle, weight=1e-9, pinned=[_publish(stage, tmp_path / "wider", _WIDER)])
    with pytest.raises(InvalidRequestError) as caught:
        _answer(core, _FAR)
    assert [(v.field, v.rule) for v in caught.value.violations] == [("flights[0].distance", "MAXIMUM")]
    if is_challenged:
        between = _answer(core, _LONGEST + 50)
        assert (between.variant.semantic_version, between.is_redirected) == ("4.0.0", True)


def test_a_pinned_release_of_a_wire_that_fits_neither_way_takes_no_part(stage: Stage, tmp_path: Path) -> None:
    wider, longer = _publish(stage, tmp_path / "a", _WIDER), _publish(stage, tmp_path / "b", add_column(), "6.0.0")
    core = _load(stage, wider, pinned=[_usual(stage), longer])
    assert core.traffic.versions == [VERSIONS[FIRST], "5.0.0"]
    assert "the pinned 6.0.0 cannot be loaded and takes no part: its contract breaks" in str(core.traffic.failure)
