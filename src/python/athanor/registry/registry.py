"""The registry: MLflow records trainings, versions, aliases and moves; the release store publishes them."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import Final

from athanor.contract.assignment import describe_assignment
from athanor.contract.evolution.compatibility import require_compatible
from athanor.errors import ConflictError, InputError, NotFoundError, ServiceError, StorageError
from athanor.home import Home
from athanor.registry.history import (
    ENDS,
    PINNED_TAG,
    RESTORE,
    Move,
    Registered,
    champion_before,
    digest_record,
    list_records,
    make_source,
    now,
    read_moves,
    read_version,
    version_tags,
)
from athanor.registry.moves import Step, find_replaced, take, withdrawable
from athanor.registry.reading import RegistryReader, list_moved, match
from athanor.registry.settings import RegistrySettings
from athanor.registry.tracking.database import connect, database_errors
from athanor.registry.tracking.lock import WriterLock
from athanor.registry.tracking.runs import Runs, Training, describe_gates, read_training
from athanor.registry.versioning import next_version, read_major
from athanor.release.files import CONTRACT, Release
from athanor.release.ledger import Assigned, Ledger
from athanor.release.manifest import Identity, Provenance
from athanor.release.record import TrainingRecord
from athanor.release.traffic import PINNED, VARIANTS, Served, Traffic
from athanor.system.user import user_name

_PATIENCE_S: Final = 120.0
_PATHS: Final = 10
"""Paths that a refusal names."""


class Registry(RegistryReader):
    """Versions of models, and which of them answer. One process writes at a time; other writers wait."""

    def __init__(self, settings: RegistrySettings, patience_s: float = _PATIENCE_S) -> None:
        """Opens a registry; makes its database if it does not exist.

        Args:
            patience_s: how long to wait for another writer, in seconds.

        Raises:
            SettingsError: its database cannot be reached.
        """
        self._lock = WriterLock(settings, patience_s)
        super().__init__(settings, connect(settings, self._lock))
        self.runs = Runs(self.client, settings.artifacts_root)

    @classmethod
    def open(cls, home: Home) -> "Registry":
        """Opens the registry of the environment's settings, by default the one below a home."""
        return cls(RegistrySettings.find(home))

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Holds the right to write; reentrant.

        Raises:
            ConflictError: another process wrote for longer than `patience_s`.
            ServiceError: the database failed.
            StorageError: this process may not write there, or the disk is full.
        """
        with database_errors(self.settings), self._lock.held():
            yield

    @contextmanager
    def unchanging(self) -> Iterator[None]:
        """Holds other writers off while this process reads. A read-only copy needs no lock: it has no writers.

        Raises:
            ConflictError, ServiceError: as `writing`.
        """
        with ExitStack() as stack:
            with suppress(StorageError):
                stack.enter_context(self.writing())
            stack.enter_context(database_errors(self.settings))
            yield

    def record(
        self,
        record: TrainingRecord,
        identity: Identity | None = None,
        provenance: Provenance | None = None,
        card: bytes | None = None,
    ) -> str:
        """Records a training, be it passed, refused or a search alone, and returns the id of its run.

        Args:
            identity: of the release that it made, or would have made. With an identity, a training is recorded once.
            card: the model card, in HTML.
        """
        with self.writing():
            return self.runs.record(Training(record, identity, provenance, card))

    def register(self, release: Release, *, allow_dirty: bool = False) -> tuple[Registered, bool]:
        """Publishes a release and assigns its semantic version.

        Args:
            allow_dirty: accept a release trained with uncommitted changes; it stays marked.

        Returns:
            The version, and whether it is new: an identical release keeps its version.

        Raises:
            InputError: it was trained with uncommitted changes.
            ContractError: its proto package has no number.
            GateError: its contract breaks callers or stored rows of the newest release of its model.
            ReleaseError: its proto package makes another model.
        """
        model = release.identity.model
        if not (release.manifest.provenance.is_clean or allow_dirty):
            raise InputError(
                f"release {release.digest[:12]} of {model} was trained {_describe_dirt(release)}, and could not be "
                "made again. Commit them and train again, or register it with --allow-dirty: it stays marked"
            )
        training = read_training(release)
        with self.writing():
            versions = self.list_versions(model)
            known = next((version for version in versions if version.digest == release.digest), None)
            if known:
                # Its copy may have been damaged and removed.
                self.store.publish(release)
                return known, False
            assigned, is_new = self._assign(release)
            # Before anything refers to it.
            self.store.publish(release)
            return self._add(release, training, assigned), is_new

    def _assign(self, release: Release) -> tuple[Assigned, bool]:
        """The number of a release, and whether it is new: one that was assigned once is kept."""
        known = self.list_assigned(release.identity.model)
        before = next((one for one in known if one.digest == release.digest), None)
        if before:
            return before, False
        return Assigned(semantic_version=self._next(known, release), digest=release.digest, by=user_name()), True

    def _add(self, release: Release, training: Training, assigned: Assigned) -> Registered:
        """Adds a version that MLflow does not have."""
        model = release.identity.model
        run = self.runs.record(training)
        # First: a number that is once assigned stays so, whatever happens to MLflow's version.
        self.keep(model, [assigned])
        if self.find_model(model) is None:
            self.client.create_registered_model(model)
        tags = version_tags(assigned, is_clean=release.manifest.provenance.is_clean)
        created = self.client.create_model_version(
            model, source=make_source(model, release.digest), run_id=run, tags=tags
        )
        version = read_version(created, {}, Ledger(versions=(assigned,)))
        if version is None:
            raise ServiceError(
                f"MLflow created version {created.version} of {model} with another source than was given"
            )
        return version

    def _next(self, known: Sequence[Assigned], release: Release) -> str:
        """The next number of its model: after the highest, by what changed since the newest release there is.

        Raises GateError if it breaks that one. Compatibility is transitive: what is compatible with the newest release
        is compatible with all before it.
        """
        model, first = release.contract.name, f"{read_major(release)}.0.0"
        if not known:
            return first
        present = {version.digest for version in self.list_versions(model)} | set(self.store.list_digests(model))
        newest = next((one for one in known if one.digest in present), known[0])
        before = self.store.read(model, newest.digest)
        names = f"{model} {newest.semantic_version}", f"release {release.digest[:12]}"
        require_compatible(before.json(CONTRACT), release.json(CONTRACT), *names)
        return next_version(known[0].semantic_version, before, release)

    def keep(self, model: str, versions: Iterable[Assigned] = (), moves: Iterable[Move] = ()) -> None:
        """Adds versions and moves to the ledger; the first time, also the older ones in MLflow.

        Raises:
            ConflictError: there is no ledger, and the published traffic does not prove what MLflow has.
        """
        kept = self.store.find_ledger(model)
        before = kept or self.read_unkept(model)
        found = {one.digest: one for one in (*versions, *before.versions)}
        after = Ledger(
            versions=tuple(sorted(found.values(), key=lambda one: one.order)),
            moves=dict(sorted({**before.moves, **dict(move.tag for move in moves)}.items())),
        )
        if after != kept:
            self.store.write_ledger(model, after)

    def read_unkept(self, model: str) -> Ledger:
        """Reads from MLflow the ledger of a model that has lost its ledger, or never had one.

        Raises:
            ConflictError: the published traffic is not the one after the last move: nothing proves the moves.
            ServiceError: the chain of the moves is broken.
        """
        registered = self.find_model(model)
        records = list_records(registered) if registered else {}
        moves = read_moves(model, records)
        published = None
        with suppress(NotFoundError):
            published = self.store.read_traffic(model)
        if published != (moves[-1].traffic if moves else None):
            raise ConflictError(
                f"{model} has no ledger in the store, and by the {len(moves)} moves in MLflow other releases answer "
                f"than by the traffic file: nothing proves them; {RESTORE}"
            )
        unkept = (read_version(entry, {}, None) for entry in self.list_entries(model))
        listed = (
            Assigned(semantic_version=version.semantic_version, digest=version.digest, by=version.by)
            for version in unkept
            if version
        )
        # What comes later counts, and of two versions of one release the first.
        found = {one.digest: one for one in (*list_moved(moves), *reversed([*listed]))}
        return Ledger(versions=tuple(sorted(found.values(), key=lambda one: one.order)), moves=records)

    def promote(self, model: str, reference: str, why: str) -> Traffic:
        """Makes a version champion and publishes the traffic file; records no move if it is champion already.

        Challenger and shadow stay, unless one is the version itself.

        Args:
            reference: a semantic version, or the beginning of a digest.
            why: the reason, for the history.

        Raises:
            NotFoundError: there is no such version.
            InputError: the reason is empty.
            ReleaseError: its copy in the store is damaged.
        """
        with self.writing():
            version = self._require(model, reference)
            return self._move(model, Step("promote", "champion", _served(version)), why)

    def rollback(self, model: str, why: str) -> Traffic:
        """Makes the previous champion champion again, or the one that was withdrawn.

        Challenger and shadow as in `promote`.

        Raises:
            NotFoundError: there was none before.
            InputError, ReleaseError: as `promote`.
        """
        with self.writing():
            moves = self.list_moves(model)
            if begun := self._find_unpublished(moves, "rollback", "champion"):
                # Another one would go back twice.
                return self.publish(begun)
            earlier = champion_before(moves)
            if earlier is None:
                raise NotFoundError(f"{model} has no earlier champion to roll back to")
            version = self._require(model, earlier.digest)
            return self._move(model, Step("rollback", "champion", _served(version)), why)

    def challenge(self, model: str, reference: str, weight: float, why: str) -> Traffic:
        """Makes a version challenger, replacing the present one, or changes its weight.

        Records no move if it is challenger with this weight already.

        Args:
            weight: share of the keys that it answers, above 0 and below 1.

        Raises:
            NotFoundError: there is no such version, or no champion.
            InputError: the weight is out of range, the version is champion or shadow, or the reason is empty.
            ReleaseError: its copy in the store is damaged.
        """
        with self.writing():
            version = self._require(model, reference)
            return self._move(model, Step("challenge", "challenger", _served(version), weight), why)

    def describe_assignment(self, model: str, challenger: Served) -> str:
        """How a request is assigned to champion or challenger, by the challenger's contract."""
        return describe_assignment(self.store.read(model, challenger.digest).json(CONTRACT))

    def shadow(self, model: str, reference: str, why: str) -> Traffic:
        """Makes a version shadow, replacing the present one: it gets each request too, and its answers are never sent.

        Records no move if it is shadow already.

        Raises:
            NotFoundError: there is no such version, or no champion.
            InputError: the version is champion or challenger, or the reason is empty.
            ReleaseError: its copy in the store is damaged.
        """
        with self.writing():
            version = self._require(model, reference)
            return self._move(model, Step("shadow", "shadow", _served(version)), why)

    def withdraw(self, model: str, variant: str, why: str) -> Traffic:
        """Takes a variant out of the traffic, even if its release is damaged.

        Without a champion, no release of the model answers: challenger, shadow and pins end with it, in the same move.
        `promote` and `rollback` bring it back.

        Args:
            variant: "champion", "challenger" or "shadow".

        Raises:
            NotFoundError: the traffic has no such variant.
            InputError: the variant is another one, or the reason is empty.
        """
        part = withdrawable(model, variant)
        with self.writing():
            moves = self.list_moves(model)
            served = moves[-1].traffic.served.get(part) if moves else None
            if served:
                return self._move(model, Step("withdraw", part, served), why)
            if begun := self._find_unpublished(moves, "withdraw", part):
                return self.publish(begun)
            if moves:
                # Another move may be recorded and not published.
                self.publish(moves[-1])
            raise NotFoundError(f"{model} has no {part} to withdraw; see `athanor registry traffic {model}`")

    def pin(self, model: str, reference: str, why: str) -> Traffic:
        """Keeps a version loaded for callers who ask for it by number; it takes no other traffic.

        It may be champion, challenger or shadow as well, and stays pinned when it no longer is.

        Raises:
            NotFoundError: there is no such version, or no champion.
            InputError: the version is pinned already, too many are, or the reason is empty.
            ReleaseError: its copy in the store is damaged.
        """
        with self.writing():
            version = self._require(model, reference)
            moves = self.list_moves(model)
            if begun := self._find_unpublished(moves, "pin", PINNED, version.digest):
                return self.publish(begun)
            return self._move(model, Step("pin", PINNED, _served(version)), why)

    def unpin(self, model: str, reference: str, why: str) -> Traffic:
        """Ends a pin, even if the release is damaged or gone.

        Raises:
            NotFoundError: there is no such version, or it is not pinned.
            InputError: the reason is empty.
        """
        with self.writing():
            moves = self.list_moves(model)
            found = match(moves[-1].traffic.pinned, reference) if moves else []
            served = found[0] if len(found) == 1 else _served(self._require(model, reference))
            if begun := self._find_unpublished(moves, "unpin", PINNED, served.digest):
                return self.publish(begun)
            return self._move(model, Step("unpin", PINNED, served), why)

    def published_traffic(self, model: str) -> Traffic:
        """The traffic file, as the last move says.

        Raises:
            NotFoundError: nothing was promoted.
            ConflictError: the file says something else, or there is no ledger: another program may have written it.
        """
        traffic, ledger = self.store.read_traffic(model), self.store.find_ledger(model)
        moves = self.list_moves(model)
        if ledger is None or not moves or moves[-1].traffic != traffic:
            raise ConflictError(
                f"the traffic file of {model}, of revision {traffic.revision}, is not the one after the last move by "
                "the ledger; look at it by `athanor registry doctor`, and let --mend write it again"
            )
        return traffic

    def publish(self, move: Move) -> Traffic:
        """Copies the ledger's moves to MLflow, sets aliases and tags, and writes the traffic file, by the last move."""
        traffic = move.traffic
        self.keep(traffic.model)
        self._copy_records(traffic.model)
        versions = self.list_versions(traffic.model)
        for variant in VARIANTS:
            served = traffic.served.get(variant)
            named = [version for version in versions if variant in version.aliases]
            if served is None and named:
                self.client.delete_registered_model_alias(traffic.model, variant)
            elif served and [version.digest for version in named] != [served.digest]:
                number = self._require(traffic.model, served.digest).number
                self.client.set_registered_model_alias(traffic.model, variant, str(number))
        self._mark_pinned(traffic, versions)
        self.store.write_traffic(traffic)
        return traffic

    def _mark_pinned(self, traffic: Traffic, versions: Sequence[Registered]) -> None:
        """Sets the tag in MLflow."""
        wanted = {served.digest for served in traffic.pinned}
        marked = {version.digest: version.number for version in versions if PINNED in version.aliases}
        for digest in sorted(wanted - marked.keys()):
            number = self._require(traffic.model, digest).number
            self.client.set_model_version_tag(traffic.model, str(number), PINNED_TAG, PINNED)
        for digest in sorted(marked.keys() - wanted):
            self.client.delete_model_version_tag(traffic.model, str(marked[digest]), PINNED_TAG)

    def _find_unpublished(self, moves: Sequence[Move], kind: str, role: str, digest: str = "") -> Move | None:
        """The last move, if it is of this kind and its process died, or found no space, before it published it.

        Args:
            digest: of the release that it must have moved; "" for any.
        """
        if not moves or (moves[-1].kind, moves[-1].variant) != (kind, role) or not moves[-1].digest.startswith(digest):
            return None
        with suppress(NotFoundError):
            if self.store.read_traffic(moves[-1].traffic.model) == moves[-1].traffic:
                return None
        return moves[-1]

    def _copy_records(self, model: str) -> None:
        """Adds to MLflow the moves that it lacks. The doctor names those that it has otherwise."""
        registered = self.find_model(model)
        found = list_records(registered) if registered else {}
        for name, content in self.list_records(model).items():
            if name not in found:
                self.client.set_registered_model_tag(model, name, content)

    def _require(self, model: str, reference: str) -> Registered:
        """Finds a version; first restores it if it was deleted in MLflow. Raises NotFoundError, ReleaseError."""
        with suppress(NotFoundError):
            return self.find_version(model, reference)
        lost = match(self.list_assigned(model), reference)
        if len(lost) == 1 and lost[0].digest in self.store.list_digests(model):
            release = self.store.read(model, lost[0].digest)
            self._add(release, read_training(release), lost[0])
        return self.find_version(model, reference)

    def _move(self, model: str, step: Step, why: str) -> Traffic:
        """Writes record, aliases and traffic file in this order: serving never answers with an unrecorded release.

        The record lies in the ledger before it does in MLflow: one that MLflow alone has was forged.
        """
        if not why.strip():
            raise InputError(f"{step.kind} of {model} needs a reason, for its history; give one with --reason")
        # A release whose role ends may be damaged: it is not loaded again.
        gates = "" if step.kind in ENDS else self._read_gates(model, step.served.digest)
        moves = self.list_moves(model)
        last = moves[-1] if moves else None
        after = take(last.traffic if last else None, model, step)
        if last is None or after != last.traffic:
            replaced = find_replaced(last.traffic if last else None, step.kind, step.variant, step.served.digest)
            last = Move(
                revision=after.revision,
                kind=step.kind,
                from_version=replaced.semantic_version if replaced else None,
                from_digest=replaced.digest if replaced else None,
                semantic_version=step.served.semantic_version,
                digest=step.served.digest,
                by=user_name(),
                at=now(),
                why=why.strip(),
                gates=gates,
                variant=step.variant,
                traffic=after,
                previous=digest_record([*self.list_records(model).values()][-1]) if last else "",
            )
            self.keep(model, moves=[last])
        return self.publish(last)

    def _read_gates(self, model: str, digest: str) -> str:
        """Summary of the gates of a release. Raises ReleaseError if its copy in the store is damaged."""
        return describe_gates(read_training(self.store.read(model, digest)).record.gates)


def _describe_dirt(release: Release) -> str:
    """Says why the sources of a release are unknown, and names the changed paths."""
    if not release.manifest.provenance.commit:
        return "outside of a Git repository, from files that no commit names"
    paths = read_training(release).record.uncommitted
    more = f" and {len(paths) - _PATHS} more" if len(paths) > _PATHS else ""
    return "with uncommitted changes" + (f" of {', '.join(paths[:_PATHS])}{more}" if paths else "")


def _served(version: Registered) -> Served:
    return Served(digest=version.digest, semantic_version=version.semantic_version)
