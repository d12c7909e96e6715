"""What is compared before work is shared: our modules by their source, libraries by their version."""

import dataclasses

import pytest

from athanor.system.code.running_code import RunningCode


def test_a_process_has_what_itself_has() -> None:
    here = RunningCode.here()
    assert "athanor.system.code.running_code" in here.modules
    assert "pytest" in here.libraries
    assert here.find_differences() == ""


@pytest.mark.parametrize(
    ("field", "change", "words"),
    [
        (
            "modules",
            {"athanor.system.code.running_code": "0" * 64},
            "has another version of module athanor.system.code.running_code",
        ),
        ("modules", {"athanor.of_another_binary": "0" * 64}, "lacks module athanor.of_another_binary"),
        ("libraries", {"pytest": "0.1"}, "has another version of library pytest"),
        ("libraries", {"no-such-library": "1.0"}, "lacks library no-such-library"),
    ],
)
def test_what_differs_is_named(field: str, change: dict[str, str], words: str) -> None:
    here = RunningCode.here()
    other = dataclasses.replace(here, **{field: {**getattr(here, field), **change}})
    assert other.find_differences() == words


def test_of_many_differences_three_are_listed() -> None:
    lacking = {f"athanor.m{number}": "0" * 64 for number in range(5)}
    words = RunningCode(lacking, {}).find_differences()
    assert words == "lacks module athanor.m0, athanor.m1, athanor.m2 and 2 more"


def test_additional_code_is_no_difference() -> None:
    assert RunningCode({}, {}).find_differences() == ""
