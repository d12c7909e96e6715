"""Shares: bounded in all, and fair to each caller."""

import pytest

from athanor.errors import OverloadedError
from athanor.serving.doors.shares import Shares


@pytest.fixture
def shares() -> Shares:
    return Shares(90, "apples")


def _fill(shares: Shares, caller: str) -> int:
    """Reserves as often as there is room; returns how often that was."""
    for count in range(100):
        try:
            shares.reserve(caller, 10)
        except OverloadedError:
            return count
    raise AssertionError("there is no bound")


def test_a_caller_alone_has_about_half_and_others_still_find_room(shares: Shares) -> None:
    assert _fill(shares, "first") == 5
    assert [_fill(shares, name) for name in ("second", "third", "fourth", "fifth")] == [2, 1, 1, 0]
    assert shares.total <= 90


def test_what_is_released_has_room_again(shares: Shares) -> None:
    _fill(shares, "first")
    for _ in range(5):
        shares.release("first", 10)
    assert shares.total == 0
    assert _fill(shares, "second") == 5


def test_a_single_reservation_has_room_whatever_its_size(shares: Shares) -> None:
    shares.reserve("first", 1_000)
    with pytest.raises(OverloadedError, match="take 0 bytes of this caller's share, and 1000 of 90 bytes in all"):
        shares.reserve("second", 1)
    shares.release("first", 1_000)
    shares.reserve("second", 1)
