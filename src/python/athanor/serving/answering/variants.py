"""The releases of a traffic file, loaded and proved, and which of them answers a request."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b

from athanor.contract.columns import Columns
from athanor.contract.contract import Contract
from athanor.contract.validation import Breach
from athanor.errors import AthanorError, ModelNotFoundError
from athanor.release.answers import find_invalid
from athanor.release.predictor import Predictor
from athanor.release.traffic import Traffic
from athanor.serving.answering.interface import Interface

_LONGEST_BLAKE_KEY = 64


@dataclass(frozen=True)
class Variant:
    """A release with its role in the traffic.

    Attributes:
        name: "champion", "challenger", "shadow" or "pinned".
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

    def find_invalid(self, answers: Columns) -> tuple[Breach, ...]:
        """Its answers that break the contract."""
        return find_invalid(self.contract.answer, answers)


@dataclass(frozen=True)
class LoadedTraffic:
    """A traffic file with its releases, proved and ready to answer.

    Attributes:
        interface: the newest contract of champion, challenger and pinned releases, which allows the rows of them all.
        contract: the newest of champion and challenger, which allows the rows of both.
        challenger, shadow: None where there is none, or it cannot be loaded.
        pinned: those that can be loaded. One of them may be another variant too.
        failure: why a release beside the champion cannot be loaded; None if all can.
    """

    traffic: Traffic
    interface: Interface
    contract: Contract
    champion: Variant
    challenger: Variant | None = None
    shadow: Variant | None = None
    pinned: tuple[Variant, ...] = ()
    failure: AthanorError | None = None

    @property
    def variants(self) -> tuple[Variant, ...]:
        return tuple(variant for variant in (self.champion, self.challenger, self.shadow, *self.pinned) if variant)

    @property
    def answering(self) -> tuple[Variant, ...]:
        """The variants that share the requests."""
        return tuple(variant for variant in (self.champion, self.challenger) if variant)

    @property
    def by_version(self) -> dict[str, Variant]:
        """The variant that answers requests which name its version: a pinned one only if no other does."""
        return {variant.semantic_version: variant for variant in (*self.pinned, *reversed(self.answering))}

    @property
    def versions(self) -> list[str]:
        """The versions that a request may name, oldest first."""
        return sorted(self.by_version, key=lambda version: tuple(map(int, version.split("."))))

    @property
    def newest(self) -> Variant:
        """The variant that shares the requests, and allows every row that `contract` does."""
        return next(v for v in self.answering if v.contract.fingerprint == self.contract.fingerprint)

    @cached_property
    def narrower(self) -> tuple[Variant, ...]:
        """The variants that do not allow every row that the interface does."""
        return tuple(variant for variant in (*self.answering, *self.pinned) if not self._is_spoken(variant.contract))

    @property
    def described(self) -> Contract:
        """The contract of the interface, in the words of a loaded release: they may have changed since it was made."""
        return next(v.contract for v in (*self.answering, *self.pinned) if self._is_spoken(v.contract))

    def _is_spoken(self, contract: Contract) -> bool:
        return contract.fingerprint == self.interface.contract.fingerprint

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
        if found := self.by_version.get(semantic_version):
            return found
        known = " or ".join(map(repr, self.versions))
        raise ModelNotFoundError(f"{self.traffic.model} {semantic_version!r} is not served; ask for {known}")


def share_of(model: str, key: str) -> float:
    """The fixed position of a key among all keys of a model, uniform from 0 to 1.

    A growing weight keeps its keys. Each model has its own salt, so that no key gets every challenger.
    """
    salt = model.encode()[:_LONGEST_BLAKE_KEY]
    digest = blake2b(key.encode(errors="surrogatepass"), digest_size=8, key=salt).digest()
    return int.from_bytes(digest, "big") / 2.0**64
