"""Models are chosen by name, or by a pattern as a shell has it."""

import pytest

from athanor.model_names import EVERY_MODEL, check_patterns, is_exact, matches


@pytest.mark.parametrize(
    ("patterns", "chosen"),
    [
        (EVERY_MODEL, {"delays", "delays.v2", "taxi"}),
        (("delays",), {"delays"}),
        (("delays*",), {"delays", "delays.v2"}),
        (("taxi", "*.v2"), {"delays.v2", "taxi"}),
        (("[dt]axi", "?elays"), {"delays", "taxi"}),
        (("DELAYS", "delay"), set()),
        ((), set()),
    ],
)
def test_patterns_choose_models(patterns: tuple[str, ...], chosen: set[str]) -> None:
    assert {model for model in ("delays", "delays.v2", "taxi") if matches(model, patterns)} == chosen


@pytest.mark.parametrize(("pattern", "exact"), [("delays", True), ("delays.v2", True), ("d*", False), ("[d]", False)])
def test_a_pattern_without_wildcards_is_a_name(pattern: str, exact: bool) -> None:
    assert is_exact(pattern) is exact


@pytest.mark.parametrize("pattern", ["", "../x", "a b", "a\n", "\u0430", "a" * 129, "x\x1b[2J"])
def test_what_is_no_pattern_is_named(pattern: str) -> None:
    with pytest.raises(ValueError, match="is neither the name of a model nor a pattern"):
        check_patterns(["delays", pattern])
