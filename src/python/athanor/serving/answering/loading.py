"""Loads and proves the releases that a traffic file names."""

from dataclasses import dataclass

from athanor.contract.contract import Contract
from athanor.contract.evolution.compatibility import Level, compare
from athanor.contract.evolution.packages import next_package, package_of
from athanor.errors import ReleaseError, SettingsError
from athanor.release.predictor import Predictor
from athanor.release.signing.trust import Trust
from athanor.release.store import ReleaseStore
from athanor.release.traffic import PINNED, Served, Traffic
from athanor.serving.answering.interface import Interface
from athanor.serving.answering.variants import LoadedTraffic, Variant


@dataclass(frozen=True)
class Loader:
    """Loads the traffic of one model.

    Attributes:
        trust: signatures that are required; None to require none.
        max_rows: of a question.
    """

    model: str
    store: ReleaseStore
    max_rows: int
    trust: Trust | None = None

    def load(self, traffic: Traffic | None = None, before: LoadedTraffic | None = None) -> LoadedTraffic:
        """Loads a traffic file. A release beside the champion that cannot be loaded takes nothing with it but itself.

        Args:
            traffic: by default the store's.
            before: what answers now, whose releases and interface are used again.

        Raises:
            NotFoundError: nothing ever took traffic, or the store lacks the champion.
            WithdrawnError: the champion was withdrawn, and nothing takes traffic any more.
            ReleaseError: the champion is corrupted, tampered with or not signed, or answers its reference rows
                differently; or the traffic is not signed, or older than was served.
            SettingsError: the public key cannot be read.
        """
        traffic = traffic or self.store.read_traffic(self.model)
        if self.trust:
            self.trust.require_traffic(self.store, traffic)
        loaded = self._load(traffic, before)
        if self.trust:
            self.trust.remember(traffic)
        return loaded

    def _load(self, traffic: Traffic, before: LoadedTraffic | None) -> LoadedTraffic:
        known = {variant.digest: variant.predictor for variant in before.variants} if before else {}
        answering = traffic.require_champion()
        champion = Variant("champion", answering.semantic_version, self._prove(answering, known))
        loaded, failures = list[Variant](), list[str]()
        contract = spoken = champion.contract
        # The pinned ones come last: what fits none of them still answers.
        for role, served in traffic.releases[1:]:
            try:
                variant = Variant(role, served.semantic_version, self._prove(served, known))
                newest = _newest(spoken, variant.contract)
            except SettingsError:
                raise
            except Exception as error:  # noqa: BLE001 - what a broken release raises must not stop the champion
                failures.append(f"the {role} {served.semantic_version} cannot be loaded and takes no part: {error}")
                continue
            loaded.append(variant)
            # The answers of a shadow are not sent, so that callers see nothing of its contract.
            spoken = spoken if role == "shadow" else newest
            contract = newest if role == "challenger" else contract
        return LoadedTraffic(
            traffic,
            self._interface(spoken, before),
            contract,
            champion,
            next((variant for variant in loaded if variant.name == "challenger"), None),
            next((variant for variant in loaded if variant.name == "shadow"), None),
            tuple(variant for variant in loaded if variant.name == PINNED),
            ReleaseError("; ".join(failures)) if failures else None,
        )

    def _prove(self, served: Served, known: dict[str, Predictor]) -> Predictor:
        if served.digest not in known:
            release = self.store.read(self.model, served.digest)
            if self.trust:
                self.trust.require_release(self.store, release)
            known[served.digest] = Predictor(release)
        return known[served.digest]

    def _interface(self, contract: Contract, before: LoadedTraffic | None) -> Interface:
        # The same contract keeps its objects: by them, caches know its columns.
        if before and before.interface.contract.fingerprint == contract.fingerprint:
            return before.interface
        return Interface(contract, self.max_rows)


def _newest(one: Contract, other: Contract) -> Contract:
    """The contract that allows the rows of both. Raises ReleaseError if neither does."""
    if one.fingerprint == other.fingerprint:
        return one
    broken = [change for change in compare(one.wire, other.wire) if change.level is Level.BREAKING]
    if not broken:
        return other
    if any(change.level is Level.BREAKING for change in compare(other.wire, one.wire)):
        named = "; ".join(map(str, broken))
        following = next_package(package_of(other.wire))
        raise ReleaseError(f"its contract breaks the champion's callers: {named}; declare it as {following}")
    return one
