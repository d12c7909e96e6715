"""The features of rows, for gRPC and for REST."""

import json
from typing import Any, Final

import numpy as np
import pytest
from support.answers import make_answer, make_variant, probabilities_of
from support.flights import make_flight
from support.reading import finish
from support.releases import expected_probability
from support.serving import FIRST, SECOND, THIRD, Stage, make_request, predict

from athanor.errors import InvalidRequestError, ModelNotFoundError
from athanor.inspection.v1 import inspection_pb2
from athanor.release.files import Release
from athanor.release.graph import FeatureArrays
from athanor.serving.answering.core import Core
from athanor.serving.answering.prepared import Answer
from athanor.serving.formats.inspection import Inspection, inspect, parse, read, to_json, to_message
from delays.v1 import delays_pb2
from projects.delays.model import MODEL

_TINY: Final = np.nextafter(np.float32(0), np.float32(1))
_FEATURES: Final = FeatureArrays(
    np.array([[_TINY, -0.0], [np.nan, np.inf], [np.finfo(np.float32).max, -np.inf]], dtype=np.float32),
    np.array([["red"], [""], ["飛\x00"]], dtype=object),
)
_VARIANT: Final = make_variant("challenger", "1.2.3", numeric=("amount", "count"), categorical=("color",))
_HOSTILE: Final = Inspection(
    MODEL.contract, make_answer([0.1, 0.0, 1.0], _VARIANT, features=_FEATURES), _FEATURES, "my request"
)


def _ask(core: Core, *flights: delays_pb2.Flight, **asked: Any) -> Inspection:
    request = delays_pb2.PredictRequest(flights=flights).SerializeToString()
    question = inspection_pb2.ComputeFeaturesRequest(**{"request": request, **asked})
    read_again = finish(parse(question.SerializeToString()))
    return inspect(core.interface, core.answer(finish(read(core.interface, read_again))), "my request")


def _bits(values: object) -> list[list[int]]:
    found: list[list[int]] = np.array(values, dtype=np.float32).view(np.uint32).tolist()
    return found


def test_a_message_holds_every_value_bit_for_bit() -> None:
    message = inspection_pb2.ComputeFeaturesResponse.FromString(finish(to_message(_HOSTILE)).SerializeToString())
    assert _bits([row.numeric for row in message.rows]) == _bits(_HOSTILE.features.numeric)
    assert [list(row.categorical) for row in message.rows] == [["red"], [""], ["飛\x00"]]
    assert [delays_pb2.Prediction.FromString(row.prediction).late_probability for row in message.rows] == [
        0.1,
        0.0,
        1.0,
    ]
    assert (list(message.numeric_names), list(message.categorical_names)) == (["amount", "count"], ["color"])
    assert (message.model_name, message.semantic_version) == ("delays", "1.2.3")
    assert (message.release_digest, message.request_id) == ("d" * 64, "my request")
    assert message.variant == "challenger"


def test_json_holds_every_value_bit_for_bit() -> None:
    answer = json.loads(finish(to_json(_HOSTILE)))
    features = [row["features"] for row in answer["rows"]]
    assert [[row["amount"], row["count"]] for row in features[1:]] == [
        [None, "Infinity"],
        [float(np.finfo(np.float32).max), "-Infinity"],
    ]
    assert _bits([[features[0]["amount"], features[0]["count"]]]) == _bits(_HOSTILE.features.numeric[:1])
    assert [row["color"] for row in features] == ["red", "", "飛\x00"]
    assert [row["prediction"] for row in answer["rows"]] == [{"lateProbability": p} for p in (0.1, 0.0, 1.0)]
    assert (answer["variant"], answer["semanticVersion"]) == ("challenger", "1.2.3")


def test_a_request_in_bytes_is_answered_row_by_row(core: Core, release: Release) -> None:
    distances = [100.0, 5_000.0, 1_000.0]
    inspection = _ask(core, *(make_flight(distance=distance) for distance in distances))
    position = MODEL.features.numeric.index("distance")
    assert inspection.features.numeric[:, position].tolist() == distances
    assert probabilities_of(inspection.answer) == pytest.approx([expected_probability(d) for d in distances], abs=1e-6)
    assert (inspection.answer.variant.digest, inspection.request_id) == (release.digest, "my request")


def test_another_version_is_not_found(core: Core) -> None:
    with pytest.raises(ModelNotFoundError, match=r"'9\.9\.9' is not served"):
        _ask(core, make_flight(), semantic_version="9.9.9")


def test_the_model_within_the_bytes_must_be_served_as_well(core: Core) -> None:
    for fields, message in (({"semantic_version": "9.9.9"}, r"9\.9\.9"), ({"model_name": "weather"}, "weather")):
        with pytest.raises(ModelNotFoundError, match=message):
            _ask(core, request=make_request(make_flight(), **fields).SerializeToString())


def test_two_versions_at_once_are_refused(core: Core) -> None:
    request = make_request(make_flight(), semantic_version="1.2.3").SerializeToString()
    assert _ask(core, request=request, semantic_version="1.2.3").answer.variant.semantic_version == "1.2.3"
    with pytest.raises(
        InvalidRequestError, match=r"the request names two semantic versions: '9\.9\.9' and, .* '1\.2\.3'"
    ):
        _ask(core, request=request, semantic_version="9.9.9")


@pytest.mark.parametrize(
    ("version", "variant", "middle"), [("1.0.0", "champion", FIRST), ("2.0.0", "challenger", SECOND)]
)
def test_the_named_variant_answers(stage: Stage, version: str, variant: str, middle: float) -> None:
    stage.direct(FIRST, SECOND, 0.5, THIRD)
    inspection = _ask(stage.core(), make_flight(distance=500), semantic_version=version)
    answered_by = inspection.answer.variant
    assert (answered_by.name, answered_by.semantic_version) == (variant, version)
    assert probabilities_of(inspection.answer) == pytest.approx([expected_probability(500, middle)], abs=1e-6)
    with pytest.raises(ModelNotFoundError):
        _ask(stage.core(), make_flight(), semantic_version="3.0.0")


def test_rows_of_a_batch_with_others_are_shown_alone(core: Core) -> None:
    asked = [[100.0], [200.0, 300.0], [400.0]]
    questions = [
        finish(
            read(
                core.interface,
                inspection_pb2.ComputeFeaturesRequest(
                    request=make_request(*(make_flight(distance=d) for d in distances)).SerializeToString()
                ),
            )
        )
        for distances in asked
    ]
    position = MODEL.features.numeric.index("distance")
    for answer, distances in zip(core.answer_together(questions), asked, strict=True):
        assert isinstance(answer, Answer)
        assert inspect(core.interface, answer, "id").features.numeric[:, position].tolist() == distances


def test_malformed_bytes_are_refused_with_the_expected_message(core: Core) -> None:
    with pytest.raises(InvalidRequestError, match=r"not a valid delays\.v1\.PredictRequest: "):
        _ask(core, request=b"\xff")


def test_what_predict_refuses_is_refused_with_the_same_violations(core: Core) -> None:
    bad = make_flight(distance=-1, origin="lga")
    with pytest.raises(InvalidRequestError) as caught:
        _ask(core, make_flight(), bad)
    with pytest.raises(InvalidRequestError) as expected:
        predict(core, make_request(make_flight(), bad))
    assert caught.value.violations == expected.value.violations
    assert len(caught.value.violations) == 2


@pytest.mark.parametrize("count", [0, 51])
def test_no_rows_and_too_many_are_refused(core: Core, count: int) -> None:
    with pytest.raises(InvalidRequestError, match="flights"):
        _ask(core, *[make_flight()] * count)
