"""What a token allows."""

import enum


class Scope(enum.Enum):
    """What a token lets its bearer do."""

    PREDICT = "predict"
    ADMIN = "admin"

    def includes(self, other: "Scope") -> bool:
        return self is Scope.ADMIN or self is other
