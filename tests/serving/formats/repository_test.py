"""The model repository extension: what callers see of models, and what comes of a load and an unload."""

from collections.abc import Callable

import pytest

from athanor.errors import (
    AthanorError,
    ConflictError,
    InvalidRequestError,
    ModelNotFoundError,
    ReleaseError,
    violations_of,
)
from athanor.serving.answering.repository import ModelState
from athanor.serving.formats import repository

_TWO = ModelState("fares", ("1.0.0", "1.1.0"), is_ready=True)
_PARTIAL = ModelState("flights", ("2.0.0",), is_ready=True, reason="the challenger 2.1.0 cannot be loaded")
_BROKEN = ModelState("rain.v2", (), is_ready=False, reason="the champion is corrupted")
_WITHDRAWN = ModelState("storms", (), is_ready=False)


def _entry(name: str, version: str, state: str = "READY", reason: str = "") -> dict[str, str]:
    return {"name": name, "version": version, "state": state, "reason": reason}


def test_the_index_has_an_entry_for_each_version_and_one_for_a_model_without_any() -> None:
    entries = repository.list_models([_TWO, _PARTIAL, _BROKEN])
    assert entries == [
        _entry("fares", "1.0.0"),
        _entry("fares", "1.1.0"),
        _entry("flights", "2.0.0", reason=_PARTIAL.reason),
        _entry("rain.v2", "", "UNAVAILABLE", _BROKEN.reason),
    ]
    messages = repository.to_index(entries).models
    assert [_entry(each.name, each.version, each.state, each.reason) for each in messages] == entries


def test_the_index_of_what_is_ready_leaves_out_the_rest() -> None:
    assert {entry["name"] for entry in repository.list_models([_TWO, _BROKEN], ready_only=True)} == {"fares"}


@pytest.mark.parametrize("state", [_TWO, _PARTIAL])
def test_a_model_that_answers_is_loaded(state: ModelState) -> None:
    repository.check_loaded(state)


@pytest.mark.parametrize(
    ("check", "state", "error", "words"),
    [
        (repository.check_loaded, _BROKEN, ReleaseError, "cannot be loaded: the champion is corrupted"),
        (repository.check_loaded, _WITHDRAWN, ModelNotFoundError, "athanor registry promote storms VERSION"),
        (repository.check_unloaded, _TWO, ConflictError, "athanor registry withdraw fares champion"),
        (repository.check_unloaded, _BROKEN, ConflictError, "withdraw it"),
    ],
)
def test_what_cannot_be_done_is_refused_with_the_remedy(
    check: Callable[[ModelState], None], state: ModelState, error: type[AthanorError], words: str
) -> None:
    with pytest.raises(error, match=words):
        check(state)


def test_a_withdrawn_model_is_unloaded() -> None:
    repository.check_unloaded(_WITHDRAWN)


def test_a_repository_with_a_name_is_refused() -> None:
    repository.check_repository("")
    with pytest.raises(InvalidRequestError) as caught:
        repository.check_repository("mine")
    assert [(v.field, v.rule) for v in violations_of(caught.value)] == [("repository_name", "UNSUPPORTED")]


def test_a_load_that_brings_a_model_of_its_own_is_refused() -> None:
    repository.check_parameters(())
    with pytest.raises(InvalidRequestError, match="of its store") as caught:
        repository.check_parameters(("config", "file:1/model.onnx"))
    assert [v.field for v in violations_of(caught.value)] == ["parameters.'config'", "parameters.'file:1/model.onnx'"]


@pytest.mark.parametrize(
    ("body", "ready_only"),
    [(b"", False), (b" \n", False), (b"{}", False), (b'{"ready": true}', True), (b'{"ready": null, "x": 1}', False)],
)
def test_an_index_is_read(body: bytes, ready_only: bool) -> None:
    assert repository.read_index_body(body) is ready_only


def test_the_parameters_of_a_load_are_read() -> None:
    assert repository.read_parameters(b"") == []
    assert repository.read_parameters(b'{"parameters": {"config": "{}"}}') == ["config"]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"{", "not valid JSON"),
        (b"\xff", "not valid JSON"),
        (b"[" * 4_000, "not valid JSON"),
        (b"[1]", "the body is a list; give an object"),
        (b'{"ready": 1}', "ready is 1; give true or false"),
    ],
)
def test_a_body_that_cannot_be_read_is_refused(body: bytes, words: str) -> None:
    with pytest.raises(InvalidRequestError, match=words):
        repository.read_index_body(body)


def test_parameters_that_are_no_object_are_refused() -> None:
    with pytest.raises(InvalidRequestError, match="parameters is a list; give an object"):
        repository.read_parameters(b'{"parameters": []}')
