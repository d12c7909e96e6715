"""Questions answered together, each as if asked alone."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.answers import probabilities_of
from support.flights import make_columns, make_flight
from support.properties import PROPERTY
from support.reading import finish
from support.serving import FIRST, SECOND, THIRD, Stage, ask
from support.tensors import to_request

from athanor.errors import InvalidRequestError, ModelNotFoundError
from athanor.release.answers import TOLERANCE
from athanor.serving.answering.core import Core
from athanor.serving.answering.interface import Question
from athanor.serving.answering.prepared import Answer
from athanor.serving.formats import inference_messages
from projects.delays.model import MODEL

_DISTANCES: Final = st.floats(1, 6_000)
_BAD: Final[st.SearchStrategy[dict[str, Any]]] = st.sampled_from(
    [{"distance": -1.0}, {"origin": "lga"}, {"carrier": None, "temperature": float("inf")}, {"flight_number": 0}]
)
_VERSIONS: Final = st.sampled_from(["", "", "", "1.0.0", "2.0.0", "3.0.0", "9.9.9"])


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Core:
    """Champion, challenger and shadow. No test changes it."""
    folder: Path = tmp_path_factory.mktemp("stage")
    stage = Stage(folder)
    stage.direct(FIRST, SECOND, 0.5, THIRD)
    return stage.core()


def _assert_same(together: Answer | Exception, alone: Answer | Exception) -> None:
    if isinstance(alone, Exception) or isinstance(together, Exception):
        assert (type(together), str(together)) == (type(alone), str(alone))
        assert getattr(together, "violations", None) == getattr(alone, "violations", None)
        return
    assert (together.variant.name, together.variant.digest) == (alone.variant.name, alone.variant.digest)
    np.testing.assert_allclose(probabilities_of(together), probabilities_of(alone), rtol=0, atol=TOLERANCE)
    assert together.columns.keys() == alone.columns.keys()
    for name, values in alone.columns.items():
        np.testing.assert_array_equal(together.columns[name], values)


def _ask_typed(core: Core, rows: list[dict[str, Any]], version: str) -> Question:
    return ask(core, *(make_flight(**row) for row in rows), semantic_version=version)


def _ask_by_tensors(core: Core, seed: int, count: int, version: str, sticky_key: str, bad: bool) -> Question:
    columns = make_columns(count, seed)
    if bad:
        columns["distance"][seed % count] = -1
    request = to_request(columns, raw=bool(seed % 2), model_version=version)
    return finish(inference_messages.read(core.interface, request.SerializeToString(), sticky_key)).question


@st.composite
def _questions(draw: st.DrawFn) -> Callable[[Core], Question]:
    version = draw(_VERSIONS)
    if draw(st.booleans()):
        rows: list[dict[str, Any]] = [
            {"distance": distance, "carrier": draw(st.sampled_from(["AA", "B6", "UA"]))}
            for distance in draw(st.lists(_DISTANCES, min_size=1, max_size=4))
        ]
        if draw(st.integers(0, 4)) == 0:
            rows[-1] |= draw(_BAD)
        return lambda core: _ask_typed(core, rows, version)
    seed, count = draw(st.integers(0, 99)), draw(st.integers(1, 12))
    sticky_key, bad = draw(st.sampled_from(["", "a", "b", "飛"])), draw(st.integers(0, 4)) == 0
    return lambda core: _ask_by_tensors(core, seed, count, version, sticky_key, bad)


@PROPERTY
@given(made=st.lists(_questions(), min_size=1, max_size=8))
def test_each_question_is_answered_as_if_asked_alone(shared: Core, made: list[Callable[[Core], Question]]) -> None:
    questions = [make(shared) for make in made]
    together = shared.answer_together(questions)
    assert len(together) == len(questions)
    for question, answer in zip(questions, together, strict=True):
        _assert_same(answer, shared.answer_together([question])[0])


@pytest.mark.parametrize("position", range(5))
def test_a_bad_question_does_not_affect_the_others(shared: Core, position: int) -> None:
    questions = [ask(shared, make_flight(distance=100.0 * row), semantic_version="1.0.0") for row in range(1, 5)]
    bad = ask(shared, make_flight(), make_flight(distance=-1), make_flight(origin="lga"))
    questions.insert(position, bad)
    answers = shared.answer_together(questions)
    refused = answers.pop(position)
    assert isinstance(refused, InvalidRequestError)
    assert [violation.field for violation in refused.violations] == ["flights[1].distance", "flights[2].origin"]
    assert all(isinstance(answer, Answer) for answer in answers)


def test_an_unknown_version_does_not_affect_the_others(shared: Core) -> None:
    asked = ["9.9.9", "1.0.0", "9.9.9", "2.0.0"]
    answers = shared.answer_together([ask(shared, semantic_version=version) for version in asked])
    assert [type(answer) for answer in answers] == [ModelNotFoundError, Answer, ModelNotFoundError, Answer]


def test_each_bad_question_gets_its_own_error(shared: Core) -> None:
    answers = shared.answer_together(
        [
            ask(shared, make_flight(distance=-1)),
            ask(shared, semantic_version="9.9.9"),
            ask(shared, make_flight(origin="x")),
        ]
    )
    assert [type(answer) for answer in answers] == [InvalidRequestError, ModelNotFoundError, InvalidRequestError]


def test_rows_come_back_in_the_order_of_each_question(shared: Core) -> None:
    asked = [[100.0, 5_000.0], [3_000.0], [4_000.0, 50.0, 2_000.0]]
    questions = [
        ask(shared, *(make_flight(distance=d) for d in distances), semantic_version=version)
        for distances, version in zip(asked, ["1.0.0", "2.0.0", "1.0.0"], strict=True)
    ]
    for answer, distances in zip(shared.answer_together(questions), asked, strict=True):
        assert isinstance(answer, Answer)
        assert answer.columns["distance"].tolist() == distances


def test_features_are_there_for_the_questions_that_need_them_alone(shared: Core) -> None:
    asked = [[100.0, 5_000.0], [3_000.0], [4_000.0]]
    questions = [
        replace(ask(shared, *(make_flight(distance=d) for d in distances)), with_features=needed)
        for distances, needed in zip(asked, [True, False, True], strict=True)
    ]
    position = MODEL.features.position("distance")[0]
    answers = [answer for answer in shared.answer_together(questions) if isinstance(answer, Answer)]
    found = [each.features.numeric[:, position].tolist() if each.features else None for each in answers]
    assert found == [asked[0], None, asked[2]]
    # Each stands beside the probabilities of the same rows.
    for answer, distances in zip(answers, asked, strict=True):
        assert answer.columns["distance"].tolist() == distances


def test_a_violation_names_the_field_as_its_door_does(shared: Core) -> None:
    typed_error, tensor_error = shared.answer_together(
        [ask(shared, make_flight(distance=-1)), _ask_by_tensors(shared, 3, 5, "", "", bad=True)]
    )
    assert isinstance(typed_error, InvalidRequestError)
    assert isinstance(tensor_error, InvalidRequestError)
    assert [v.field for v in typed_error.violations] == ["flights[0].distance"]
    assert [v.field for v in tensor_error.violations] == ["inputs.distance[3]"]
