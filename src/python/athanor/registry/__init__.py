"""Layer `registry`: which releases there are, which of them answers, and how it came to that."""

from athanor.registry.registry import CHAMPION, Move, Registered, Registry

__all__ = ["CHAMPION", "Move", "Registered", "Registry"]
