"""The releases of a traffic file, loaded and proved, and which of them answers a request."""

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from athanor.contract.contract import Contract
from athanor.contract.validation import Breach
from athanor.errors import AthanorError, ModelNotFoundError
from athanor.release.predictor import Predictor, find_invalid
from athanor.release.traffic import Traffic
from athanor.serving.answering.interface import Interface

_LONGEST_BLAKE_KEY = 64


@dataclass(frozen=True)
class Variant:
    """A release with its role in the traffic.

    Attributes:
        name: "champion", "challenger" or "shadow".
    """

    name: str
    semantic_version: str
    predictor: Predictor

    @property
    def digest(self) -> str:
        return self.predictor.release.digest

    @property
    def contract(self) -> Contract:
        return self.predictor.contract

    def find_invalid(self, probabilities: NDArray[np.float64]) -> tuple[Breach, ...]:
        """Its answers that break the contract."""
        return find_invalid(self.contract.prediction, probabilities)


@dataclass(frozen=True)
class LoadedTraffic:
    """A traffic file with its releases, proved and ready to answer.

    Attributes:
        interface: the newest contract of the releases that answer, which allows the rows of all of them.
        challenger, shadow: None where there is none, or it cannot be loaded.
        failure: why challenger or shadow cannot be loaded; None if they can.
    """

    traffic: Traffic
    interface: Interface
    champion: Variant
    challenger: Variant | None = None
    shadow: Variant | None = None
    failure: AthanorError | None = None

    @property
    def variants(self) -> tuple[Variant, ...]:
        return tuple(variant for variant in (self.champion, self.challenger, self.shadow) if variant)

    @property
    def answering(self) -> tuple[Variant, ...]:
        """The variants whose answers are sent."""
        return tuple(variant for variant in (self.champion, self.challenger) if variant)

    @property
    def newest(self) -> Variant:
        """A variant that allows every row that the interface does."""
        fingerprint = self.interface.contract.fingerprint
        return next(variant for variant in self.answering if variant.contract.fingerprint == fingerprint)

    def choose(self, semantic_version: str, read_key: Callable[[], str]) -> Variant:
        """The variant that answers a request.

        Args:
            semantic_version: version that the request names; "" to choose by traffic.
            read_key: returns the sticky key; called only if two variants share the traffic.

        Raises:
            ModelNotFoundError: that version does not answer.
        """
        if semantic_version:
            return self.find(semantic_version)
        if self.challenger is None or self.traffic.challenger is None:
            return self.champion
        takes = share_of(self.traffic.model, read_key()) < self.traffic.challenger.weight
        return self.challenger if takes else self.champion

    def find(self, semantic_version: str) -> Variant:
        """Raises ModelNotFoundError if that version does not answer."""
        for variant in self.answering:
            if variant.semantic_version == semantic_version:
                return variant
        served = " and ".join(repr(variant.semantic_version) for variant in self.answering)
        raise ModelNotFoundError(f"{self.traffic.model} {semantic_version!r} is not served; {served} is")


def share_of(model: str, key: str) -> float:
    """The fixed position of a key among all keys of a model, uniform from 0 to 1.

    A growing weight keeps its keys. Each model has its own salt, so that no key gets every challenger.
    """
    salt = model.encode()[:_LONGEST_BLAKE_KEY]
    digest = blake2b(key.encode(errors="surrogatepass"), digest_size=8, key=salt).digest()
    return int.from_bytes(digest, "big") / 2.0**64
