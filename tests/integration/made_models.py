"""Models that a test makes in a home: their rows are flights, and they answer by the distance."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from support.questions import Question
from support.releases import MIDDLE
from support.wires import make_release_of

from athanor.contract.contract import Contract
from athanor.home import Home
from athanor.registry.registry import Registry
from athanor.release.files import GRAPH, Release
from athanor.release.store import ReleaseStore
from athanor.release.traffic import Served, Traffic

_WHY: Final = "for a test"


@dataclass(frozen=True)
class MadeModels:
    """The models of a home, each with one release."""

    home: Home
    registry: Registry

    @classmethod
    def open(cls, home: Home) -> "MadeModels":
        return cls(home, Registry.open(home))

    @property
    def store(self) -> ReleaseStore:
        return ReleaseStore(self.home.store)

    def register(self, contract: Contract, middle: float = MIDDLE) -> Served:
        """Returns the release as traffic names it."""
        return self._register(make_release_of(self.home.candidates / contract.name, contract, middle))

    def _register(self, release: Release) -> Served:
        version = self.registry.register(release)[0]
        return Served(digest=version.digest, semantic_version=version.semantic_version)

    def promote_question(self, question: Question) -> None:
        """Makes a champion of a model whose answer has several columns."""
        name = question.contract.name
        served = self._register(question.make_release(self.home.candidates / name))
        self.registry.promote(name, served.semantic_version, _WHY)

    def read(self, contract: Contract) -> Release:
        (version,) = self.registry.list_versions(contract.name)
        return self.store.read(contract.name, version.digest)

    def promote(self, contract: Contract, middle: float = MIDDLE) -> float:
        """Makes a champion. Returns when its traffic file was there, by `time.time`."""
        served = self.register(contract, middle)
        self.registry.promote(contract.name, served.semantic_version, _WHY)
        return (self.home.store / "traffic" / f"{contract.name}.json").stat().st_mtime

    def promote_damaged(self, contract: Contract) -> Path:
        """Lets a release with a changed graph take traffic, which the registry would refuse. Returns the graph."""
        served = self.register(contract)
        graph = Path(self.read(contract).location) / GRAPH
        flip_last_bit(graph)
        self.store.write_traffic(Traffic(model=contract.name, revision=1, champion=served))
        return graph


def flip_last_bit(path: Path) -> None:
    """Changes a file, or changes it back."""
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
