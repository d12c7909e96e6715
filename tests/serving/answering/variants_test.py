"""The variant that answers a request."""

from typing import Any, Final

import numpy as np
import pytest
from scipy import stats
from support.answers import probabilities_of
from support.flights import make_columns, make_flight
from support.reading import finish
from support.releases import expected_probability, make_graph
from support.serving import FIRST, SECOND, THIRD, VERSIONS, Stage, ask
from support.tensors import to_request

from athanor.errors import ModelNotFoundError, NotFoundError, ReleaseError
from athanor.release.files import GRAPH
from athanor.serving.answering.core import Core, read_columns
from athanor.serving.answering.loading import Loader
from athanor.serving.answering.prepared import Answer
from athanor.serving.answering.variants import share_of
from athanor.serving.formats import inference_messages
from projects.delays.model import MODEL

_KEYS: Final = tuple(f"2013-01-{day:02d}\x1fUA\x1f{number}" for day in range(1, 26) for number in range(1_000))


def _variant(core: Core, **fields: Any) -> str:
    return core.answer(ask(core, make_flight(**fields))).variant.name


def _ask_with_key(core: Core, key: str) -> Answer:
    request = to_request(make_columns(1))
    return core.answer(finish(inference_messages.read(core.interface, request.SerializeToString(), key)).question)


def test_keys_are_spread_uniformly() -> None:
    counts, _ = np.histogram([share_of("delays", key) for key in _KEYS], bins=100, range=(0, 1))
    assert counts.sum() == len(_KEYS) >= 20_000
    assert stats.chisquare(counts).pvalue > 0.01


def test_an_uneven_spread_fails_the_check() -> None:
    shares = np.array([share_of("delays", key) for key in _KEYS]) ** 1.05
    assert stats.chisquare(np.histogram(shares, bins=100, range=(0, 1))[0]).pvalue < 0.01


@pytest.mark.parametrize("weight", [0.01, 0.1, 0.5, 0.9])
def test_the_challenger_takes_its_share_of_the_keys(weight: float) -> None:
    taken = sum(share_of("delays", key) < weight for key in _KEYS)
    assert stats.binomtest(taken, len(_KEYS), weight).pvalue > 0.01


def test_models_are_salted_apart() -> None:
    """A key that gets one model's challenger gets another's no more often than any key."""
    here, there = ([share_of(model, key) < 0.5 for key in _KEYS] for model in ("delays", "weather"))
    table = [[sum(h == a and t == b for h, t in zip(here, there, strict=True)) for a in (0, 1)] for b in (0, 1)]
    assert stats.chi2_contingency(table).pvalue > 0.01


def test_a_share_is_the_same_in_every_process_and_version() -> None:
    found = [share_of("flight_delay", key) for key in ("", "a", "飛")]
    assert found == pytest.approx([0.48307, 0.054912, 0.872939], abs=1e-6)


def test_any_name_and_any_text_has_a_share() -> None:
    assert 0 <= share_of("delays", "\ud800") < 1
    assert 0 <= share_of("m" * 1_000, "a") < 1


def test_a_growing_weight_keeps_its_keys(stage: Stage) -> None:
    numbers = range(1, 60)
    found: list[set[int]] = []
    for weight in (0.1, 0.3, 0.8):
        stage.direct(FIRST, SECOND, weight)
        core = stage.core()
        found.append({number for number in numbers if _variant(core, flight_number=number) == "challenger"})
    assert found[0] < found[1] < found[2] < set(numbers)


def test_rows_of_one_key_stick_to_one_variant(stage: Stage) -> None:
    stage.direct(FIRST, SECOND, 0.5)
    core = stage.core()
    for number in range(1, 30):
        assert len({_variant(core, flight_number=number, distance=d) for d in (10.0, 500.0, 5_000.0)}) == 1
    assert {_variant(core, flight_number=number) for number in range(1, 30)} == {"champion", "challenger"}


@pytest.mark.parametrize("changed", [{"carrier": "DL"}, {"flight_number": 7}])
def test_every_part_of_the_key_counts(stage: Stage, changed: dict[str, Any]) -> None:
    stage.direct(FIRST, SECOND, 0.5)
    core = stage.core()
    row = {"carrier": "UA", "flight_number": 1}
    keys = set[str]()
    for fields in (row, {**row, **changed}):
        columns = read_columns([ask(core, make_flight(**fields))], MODEL.contract)
        keys.add(core.interface.key(columns, 0))
    assert len(keys) == 2


def test_the_rest_of_a_batch_does_not_change_the_variant(stage: Stage) -> None:
    stage.direct(FIRST, SECOND, 0.5)
    core = stage.core()
    questions = [ask(core, make_flight(flight_number=number)) for number in range(1, 41)]
    alone = [core.answer(question).variant.name for question in questions]
    together = [a.variant.name for a in core.answer_together(questions) if isinstance(a, Answer)]
    backwards = [a.variant.name for a in core.answer_together(questions[::-1]) if isinstance(a, Answer)]
    assert alone == together == backwards[::-1]
    assert set(alone) == {"champion", "challenger"}


def test_the_first_row_chooses_the_variant_of_a_request(stage: Stage) -> None:
    stage.direct(FIRST, SECOND, 0.5)
    core = stage.core()
    flights = [make_flight(flight_number=number) for number in range(1, 41)]
    assert core.answer(ask(core, *flights)).variant.name == _variant(core, flight_number=1)
    assert core.answer(ask(core, *flights[::-1])).variant.name == _variant(core, flight_number=40)


def test_a_sticky_key_overrides_the_key_of_the_row(stage: Stage) -> None:
    stage.direct(FIRST, SECOND, 0.5)
    core = stage.core()
    for key in ("a", "b", "c", "d", "飛", "\ud800"):
        expected = "challenger" if share_of(MODEL.name, key) < 0.5 else "champion"
        assert _ask_with_key(core, key).variant.name == expected
    assert {_ask_with_key(core, key).variant.name for key in map(str, range(20))} == {"champion", "challenger"}


@pytest.mark.parametrize(("version", "middle"), [("1.0.0", FIRST), ("2.0.0", SECOND)])
def test_a_named_version_answers_for_every_key(stage: Stage, version: str, middle: float) -> None:
    stage.direct(FIRST, SECOND, 0.5, THIRD)
    core = stage.core()
    for number in range(1, 20):
        answer = core.answer(ask(core, make_flight(flight_number=number, distance=500), semantic_version=version))
        assert probabilities_of(answer) == pytest.approx([expected_probability(500, middle)], abs=1e-6)


def test_the_shadow_never_answers(stage: Stage) -> None:
    stage.direct(FIRST, SECOND, 0.5, THIRD)
    core = stage.core()
    assert core.traffic.shadow is not None
    with pytest.raises(ModelNotFoundError, match=r"delays '3\.0\.0' is not served; ask for '1\.0\.0' or '2\.0\.0'"):
        core.answer(ask(core, semantic_version="3.0.0"))
    found = {core.answer(ask(core, make_flight(flight_number=n))).variant.semantic_version for n in range(1, 60)}
    assert found == {"1.0.0", "2.0.0"}


def test_a_pinned_version_answers_those_who_name_it_and_no_others(stage: Stage) -> None:
    stage.direct(FIRST, SECOND, 0.5, pinned=[THIRD])
    core = stage.core()
    answer = core.answer(ask(core, make_flight(distance=500), semantic_version="3.0.0"))
    assert (answer.variant.name, answer.variant.semantic_version) == ("pinned", "3.0.0")
    assert probabilities_of(answer) == pytest.approx([expected_probability(500, THIRD)], abs=1e-6)
    found = {core.answer(ask(core, make_flight(flight_number=n))).variant.semantic_version for n in range(1, 60)}
    assert found == {"1.0.0", "2.0.0"}


def test_versions_are_answered_together_each_by_its_own_release(stage: Stage) -> None:
    stage.direct(FIRST, pinned=[SECOND, THIRD])
    core = stage.core()
    named = ["3.0.0", "", "2.0.0", "1.0.0", "3.0.0"]
    answers = core.answer_together([ask(core, semantic_version=version) for version in named])
    assert [(a.variant.name, a.variant.semantic_version) for a in answers if isinstance(a, Answer)] == [
        ("pinned", "3.0.0"),
        ("champion", "1.0.0"),
        ("pinned", "2.0.0"),
        ("champion", "1.0.0"),
        ("pinned", "3.0.0"),
    ]


def test_the_versions_that_may_be_named_are_champion_challenger_and_pinned(stage: Stage) -> None:
    stage.direct(SECOND, FIRST, shadow=THIRD)
    assert stage.core().traffic.versions == ["1.0.0", "2.0.0"]
    stage.direct(SECOND, shadow=FIRST, pinned=[THIRD, SECOND])
    core = stage.core()
    assert core.traffic.versions == ["2.0.0", "3.0.0"]
    with pytest.raises(ModelNotFoundError, match=r"delays '1\.0\.0' is not served; ask for '2\.0\.0' or '3\.0\.0'"):
        core.answer(ask(core, semantic_version="1.0.0"))


@pytest.mark.parametrize(("version", "name"), [("1.0.0", "champion"), ("2.0.0", "challenger"), ("3.0.0", "pinned")])
def test_a_variant_that_is_pinned_too_answers_as_the_variant_and_is_loaded_once(
    stage: Stage, version: str, name: str
) -> None:
    stage.direct(FIRST, SECOND, 0.5, THIRD, pinned=[FIRST, SECOND, THIRD])
    core = stage.core()
    assert core.answer(ask(core, semantic_version=version)).variant.name == name
    assert len({id(variant.predictor) for variant in core.traffic.variants}) == 3


def _loader(stage: Stage) -> Loader:
    return Loader(MODEL.name, stage.store, max_rows=10)


def test_a_release_with_two_roles_is_loaded_once(stage: Stage) -> None:
    stage.direct(FIRST, FIRST, 0.5, FIRST)
    loaded = stage.core().traffic
    assert len({id(variant.predictor) for variant in loaded.variants}) == 1
    assert [variant.name for variant in loaded.variants] == ["champion", "challenger", "shadow"]


def test_a_loaded_release_is_not_loaded_again(stage: Stage) -> None:
    first = _loader(stage).load(stage.direct(FIRST))
    second = _loader(stage).load(stage.direct(SECOND, FIRST), first)
    assert second.challenger is not None
    assert second.challenger.predictor is first.champion.predictor
    assert second.champion.predictor is not first.champion.predictor


@pytest.mark.parametrize("part", ["challenger", "shadow"])
def test_a_part_that_cannot_be_proved_takes_nothing_with_it(stage: Stage, part: str) -> None:
    traffic = stage.direct(FIRST, **{part: SECOND})  # type: ignore[arg-type]
    stage.path(SECOND, GRAPH).write_bytes(make_graph(THIRD))
    loaded = _loader(stage).load(traffic)
    assert [variant.name for variant in loaded.variants] == ["champion"]
    assert loaded.choose("", lambda: "any").semantic_version == VERSIONS[FIRST]
    assert str(loaded.failure).startswith(f"the {part} {VERSIONS[SECOND]} cannot be loaded and takes no part: ")
    assert f"{GRAPH} is corrupted or was tampered with" in str(loaded.failure)


def test_a_pinned_version_that_cannot_be_proved_takes_nothing_with_it(stage: Stage) -> None:
    traffic = stage.direct(FIRST, pinned=[SECOND, THIRD])
    stage.store.remove(MODEL.name, stage.releases[SECOND].digest)
    loaded = _loader(stage).load(traffic)
    assert [(v.name, v.semantic_version) for v in loaded.variants] == [("champion", "1.0.0"), ("pinned", "3.0.0")]
    assert str(loaded.failure).startswith("the pinned 2.0.0 cannot be loaded and takes no part: ")
    with pytest.raises(ModelNotFoundError, match=r"'2\.0\.0' is not served; ask for '1\.0\.0' or '3\.0\.0'"):
        loaded.find("2.0.0")


def test_a_champion_that_stays_pinned_is_not_loaded_again(stage: Stage) -> None:
    first = _loader(stage).load(stage.direct(FIRST))
    second = _loader(stage).load(stage.direct(SECOND, pinned=[FIRST]), first)
    assert second.find("1.0.0").predictor is first.champion.predictor
    third = _loader(stage).load(stage.direct(FIRST), second)
    assert third.champion.predictor is first.champion.predictor
    assert third.pinned == ()


def test_a_champion_that_cannot_be_proved_is_refused(stage: Stage) -> None:
    traffic = stage.direct(SECOND)
    stage.path(SECOND, GRAPH).write_bytes(make_graph(THIRD))
    with pytest.raises(ReleaseError, match=f"{GRAPH} is corrupted or was tampered with"):
        _loader(stage).load(traffic)


def test_a_missing_release_is_named(stage: Stage) -> None:
    traffic = stage.direct(SECOND, FIRST)
    stage.store.remove(MODEL.name, stage.releases[SECOND].digest)
    with pytest.raises(NotFoundError, match=stage.releases[SECOND].digest):
        _loader(stage).load(traffic)


def test_variants_have_the_versions_and_digests_of_the_file(stage: Stage) -> None:
    loaded = _loader(stage).load(stage.direct(THIRD, SECOND, 0.5, FIRST))
    assert [(v.name, v.semantic_version, v.digest) for v in loaded.variants] == [
        (name, VERSIONS[middle], stage.releases[middle].digest)
        for name, middle in (("champion", THIRD), ("challenger", SECOND), ("shadow", FIRST))
    ]
