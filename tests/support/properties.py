"""How properties are tested: the same examples on every run and machine, however slow that is."""

from typing import Final

from hypothesis import settings

PROPERTY: Final = settings(derandomize=True, deadline=None, max_examples=100)
SLOW_PROPERTY: Final = settings(PROPERTY, max_examples=20)
