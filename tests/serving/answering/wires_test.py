"""Releases of one package and different wires answer side by side."""

from pathlib import Path

import numpy as np
import pytest
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
from delays.v1 import delays_pb2
from projects.delays.model import MODEL

_LONGEST = MODEL.contract.column("distance").maximum
_FAR = _LONGEST + 500
_WIDER = widen(_LONGEST + 1_000)


def _publish(stage: Stage, folder: Path, contract: Contract) -> Served:
    release = make_release_of(folder, contract, SECOND)
    stage.store.publish(release)
    return Served(digest=release.digest, semantic_version="5.0.0")


def _usual(stage: Stage) -> Served:
    return Served(digest=stage.releases[FIRST].digest, semantic_version=VERSIONS[FIRST])


def _load(
    stage: Stage, champion: Served, challenger: Served | None = None, shadow: Served | None = None, weight: float = 0.5
) -> Core:
    share = None if challenger is None else Challenger(**challenger.model_dump(), weight=weight)
    traffic = Traffic(model=MODEL.name, revision=7, champion=champion, challenger=share, shadow=shadow)
    stage.store.write_traffic(traffic)
    return Core(Loader(MODEL.name, stage.store, max_rows=100))


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
    assert far.probabilities[0] == pytest.approx(expected_probability(_FAR, SECOND), abs=1e-6)


def test_each_question_of_a_batch_goes_where_it_is_allowed(stage: Stage, tmp_path: Path) -> None:
    core = _load(stage, _usual(stage), _publish(stage, tmp_path, _WIDER), weight=1e-9)
    distances = [100.0, _FAR, 200.0, _FAR + 1, 300.0]
    answers = core.answer_together([ask(core, make_flight(distance=distance)) for distance in distances])
    for answer, distance in zip(answers, distances, strict=True):
        assert isinstance(answer, Answer)
        middle = SECOND if distance > _LONGEST else FIRST
        assert answer.probabilities.tolist() == pytest.approx([expected_probability(distance, middle)], abs=1e-6)


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
    assert answer.probabilities.tolist() == pytest.approx([expected_probability(500, SECOND)], abs=1e-6)


@pytest.mark.parametrize(("sent", "read"), [(b"A1", "A1"), (b"\xff", "")])
def test_a_column_that_was_sent_before_its_release_came_is_read(
    stage: Stage, tmp_path: Path, sent: bytes, read: str
) -> None:
    """Its answer is by that release, and must be the release's own. A text that is not UTF-8 was no column's yet."""
    newer, core = add_column(), _load(stage, _usual(stage))
    number = newer.row.fields_by_name["gate"].number
    flight = make_flight(distance=500).SerializeToString() + bytes([number << 3 & 0x7F | 0x82, number >> 4, len(sent)])
    request = make_request(delays_pb2.Flight.FromString(flight + sent)).SerializeToString()
    before = finish(typed.read(core.interface, request))
    core.traffic = _load(stage, _publish(stage, tmp_path, newer)).traffic
    assert core.answer(before).columns["gate"].tolist() == [read]


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
    assert np.isfinite(_answer(core, _FAR).probabilities).all()


def test_a_challenger_of_another_package_takes_no_part(stage: Stage, tmp_path: Path) -> None:
    core = _load(stage, _usual(stage), _publish(stage, tmp_path, next_major()))
    assert core.traffic.challenger is None
    assert str(core.traffic.failure).endswith("it is of the proto package delays.v2, and the service speaks delays.v1")
