"""What a token allows."""

import enum
from typing import Final


class Scope(enum.Enum):
    """What a token lets its bearer do."""

    PREDICT = "predict"
    METRICS = "metrics"
    ADMIN = "admin"

    def includes(self, other: "Scope") -> bool:
        return self is Scope.ADMIN or self is other


# By the door's name in metrics and logs. The table in docs/access.md says the same.
_NEEDED: Final = {
    "grpc": Scope.PREDICT,
    "rest": Scope.PREDICT,
    "oip-grpc": Scope.PREDICT,
    "oip-rest": Scope.PREDICT,
    # What a model makes of a row is part of the model.
    "inspection": Scope.ADMIN,
    # Load and unload. The index of models is metadata of the Open Inference Protocol.
    "repository": Scope.ADMIN,
    "metrics": Scope.METRICS,
}


def find_scope(door: str) -> Scope:
    """The scope that a door's requests need. A door that is not named here is closed to all but administrators."""
    return _NEEDED.get(door, Scope.ADMIN)
