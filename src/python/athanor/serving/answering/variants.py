"""Which release answers a request: the traffic file, with its releases loaded."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

from athanor.errors import ModelNotFoundError
from athanor.features.features import Model
from athanor.release.files import Release
from athanor.release.predictor import Predictor
from athanor.release.store import ReleaseStore
from athanor.release.traffic import Served, Traffic

_LONGEST_BLAKE_KEY = 64


@dataclass(frozen=True)
class Variant:
    """A release that takes part in the traffic.

    Attributes:
        name: "champion", "challenger" or "shadow".
    """

    name: str
    semantic_version: str
    predictor: Predictor

    @property
    def digest(self) -> str:
        return self.predictor.release.digest


@dataclass(frozen=True)
class LoadedTraffic:
    """The releases of a traffic file, proved and ready to answer."""

    traffic: Traffic
    champion: Variant
    challenger: Variant | None
    shadow: Variant | None

    @property
    def variants(self) -> tuple[Variant, ...]:
        return tuple(variant for variant in (self.champion, self.challenger, self.shadow) if variant)

    @property
    def answering(self) -> tuple[Variant, ...]:
        """Those whose answers are sent."""
        return tuple(variant for variant in (self.champion, self.challenger) if variant)

    def choose(self, semantic_version: str, read_key: Callable[[], str]) -> Variant:
        """The variant that answers a request.

        Args:
            semantic_version: that the request asks for; "" for whichever takes its traffic.
            read_key: gives what requests stick to a variant by; asked only where two share the traffic.

        Raises:
            ModelNotFoundError: no such version answers.
        """
        if semantic_version:
            return self.find(semantic_version)
        if self.challenger is None or self.traffic.challenger is None:
            return self.champion
        takes = share_of(self.traffic.model, read_key()) < self.traffic.challenger.weight
        return self.challenger if takes else self.champion

    def find(self, semantic_version: str) -> Variant:
        """Raises ModelNotFoundError if no such version answers."""
        for variant in self.answering:
            if variant.semantic_version == semantic_version:
                return variant
        served = " and ".join(repr(variant.semantic_version) for variant in self.answering)
        raise ModelNotFoundError(f"{self.traffic.model} {semantic_version!r} is not served; {served} is")


def share_of(model: str, key: str) -> float:
    """Where a key stands among all keys of a model: from 0 to 1, uniformly, and always at the same place.

    A weight that grows keeps the keys that it had. Models are salted apart, so that no key is always tried upon.
    """
    salt = model.encode()[:_LONGEST_BLAKE_KEY]
    digest = blake2b(key.encode(errors="surrogatepass"), digest_size=8, key=salt).digest()
    return int.from_bytes(digest, "big") / 2.0**64


def load_traffic(
    model: Model,
    store: ReleaseStore,
    traffic: Traffic,
    public_key: Path | None = None,
    loaded: Mapping[str, Predictor] | None = None,
) -> LoadedTraffic:
    """Loads and proves what a traffic file names.

    Args:
        public_key: that must have signed each release; None where no signature is demanded.
        loaded: predictors that need not be loaded again, by digest.

    Raises:
        NotFoundError: a release is not in the store.
        ReleaseError: a release is corrupted, tampered with, not signed, does not answer its reference rows as it did,
            or does not belong to this binary's code.
        SettingsError: the public key cannot be read.
    """
    predictors = dict(loaded or {})

    def load(name: str, served: Served) -> Variant:
        if served.digest not in predictors:
            predictors[served.digest] = Predictor(_read_release(store, model.name, served.digest, public_key), model)
        return Variant(name, served.semantic_version, predictors[served.digest])

    return LoadedTraffic(
        traffic,
        champion=load("champion", traffic.champion),
        challenger=load("challenger", traffic.challenger) if traffic.challenger else None,
        shadow=load("shadow", traffic.shadow) if traffic.shadow else None,
    )


def _read_release(store: ReleaseStore, model: str, digest: str, public_key: Path | None) -> Release:
    """A release that may be loaded."""
    release = store.read(model, digest)
    if public_key:
        from athanor.release.signature import verify_signature  # noqa: PLC0415 - else nothing needs cryptography

        verify_signature(release, store.read_signatures(model, digest), public_key)
    return release
