"""The releases of a traffic file, loaded and proved, and which of them answers a request."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from athanor.contract.contract import Contract
from athanor.contract.validation import Breach
from athanor.errors import ModelNotFoundError
from athanor.release.files import Release
from athanor.release.predictor import Predictor, find_invalid
from athanor.release.store import ReleaseStore
from athanor.release.traffic import Served, Traffic
from athanor.release.trust import Trust

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

    def find_invalid(self, probabilities: NDArray[np.float64]) -> tuple[Breach, ...]:
        """Its answers that break the contract."""
        return find_invalid(self.predictor.contract.prediction, probabilities)


@dataclass(frozen=True)
class LoadedTraffic:
    """A traffic file with its releases, proved and ready to answer."""

    traffic: Traffic
    champion: Variant
    challenger: Variant | None
    shadow: Variant | None

    @property
    def variants(self) -> tuple[Variant, ...]:
        return tuple(variant for variant in (self.champion, self.challenger, self.shadow) if variant)

    @property
    def answering(self) -> tuple[Variant, ...]:
        """The variants whose answers are sent."""
        return tuple(variant for variant in (self.champion, self.challenger) if variant)

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


def prove_releases(contract: Contract, store: ReleaseStore, trust: Trust | None = None) -> None:
    """Loads and proves what takes traffic, as a replica does when it starts.

    Raises:
        NotFoundError: nothing takes traffic.
        ReleaseError, SettingsError: as `load_traffic`.
    """
    load_traffic(contract, store, store.read_traffic(contract.name), trust)


def load_traffic(
    contract: Contract,
    store: ReleaseStore,
    traffic: Traffic,
    trust: Trust | None = None,
    loaded: Mapping[str, Predictor] | None = None,
) -> LoadedTraffic:
    """Loads and proves the releases that a traffic file names.

    Args:
        trust: signatures that are required; None to require none.
        loaded: predictors to reuse, by digest.

    Raises:
        NotFoundError: the store lacks a release.
        ReleaseError: a release is corrupted, tampered with or not signed, answers its reference rows differently, or
            is of another contract; or the traffic is not signed, or older than was served.
        SettingsError: the public key cannot be read.
    """
    if trust:
        trust.require_traffic(store, traffic)
    predictors = dict(loaded or {})

    def load(name: str, served: Served) -> Variant:
        if served.digest not in predictors:
            predictors[served.digest] = Predictor(_read_release(store, contract.name, served.digest, trust), contract)
        return Variant(name, served.semantic_version, predictors[served.digest])

    made = LoadedTraffic(
        traffic,
        champion=load("champion", traffic.champion),
        challenger=load("challenger", traffic.challenger) if traffic.challenger else None,
        shadow=load("shadow", traffic.shadow) if traffic.shadow else None,
    )
    if trust:
        trust.remember(traffic)
    return made


def _read_release(store: ReleaseStore, model: str, digest: str, trust: Trust | None) -> Release:
    """A verified release."""
    release = store.read(model, digest)
    if trust:
        trust.require_release(store, release)
    return release
