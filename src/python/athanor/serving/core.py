"""The core that every door answers from: a request message in, a response message out, knowing no protocol."""

from pathlib import Path
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass
from numpy.typing import NDArray

from athanor.contract.columns import Columns
from athanor.contract.messages import to_columns
from athanor.contract.validation import Breach, validate
from athanor.errors import FieldViolation, InvalidRequestError, ModelNotFoundError
from athanor.features.features import Model
from athanor.release.files import Release
from athanor.release.predictor import Predictor
from athanor.release.store import ReleaseStore
from athanor.serving.inspection import Inspection


class Core:
    """Answers requests for one model with its champion."""

    def __init__(self, model: Model, store: ReleaseStore, max_rows: int, require_signature: Path | None = None) -> None:
        """Loads and proves the champion.

        Args:
            require_signature: public key that must have signed it; None where no signature is demanded.

        Raises:
            NotFoundError: nothing takes traffic.
            ReleaseError: the release is corrupted, tampered with, not signed, or does not belong to this binary's code.
            SettingsError: the public key cannot be read.
        """
        self.contract = model.contract
        self.request_class = GetMessageClass(model.contract.predict.input_type)
        self.response_class = GetMessageClass(model.contract.predict.output_type)
        self._max_rows = max_rows
        traffic = store.read_traffic(model.name)
        self._semantic_version = traffic.champion.semantic_version
        self._predictor = Predictor(_read_release(store, model.name, traffic.champion.digest, require_signature), model)

    def predict(self, request: Any, request_id: str) -> Message:
        """Answers a request.

        Args:
            request: message of the contract's request type, or the error that its bytes gave.
            request_id: goes into the answer.

        Raises:
            ModelNotFoundError: another model or version is asked for than is served.
            InvalidRequestError: no rows, too many rows, or rows that break the contract; names every violation.
        """
        return self._answer(self._predictor.predict(self._read(request)), request_id)

    def inspect(self, request: Any, request_id: str) -> Inspection:
        """Tells what the model sees of the rows of a request, and answers. Takes and raises what `predict` does."""
        declared = self._predictor.model.features
        # What is shown is what was answered from.
        features = declared(self._read(request))
        return Inspection(
            numeric_names=declared.numeric,
            categorical_names=declared.categorical,
            features=features,
            probabilities=self._predictor.answer(features),
            model_name=self.contract.name,
            semantic_version=self._semantic_version,
            release_digest=self._predictor.release.digest,
            request_id=request_id,
        )

    def inspect_serialised(self, question: Any, request_id: str) -> Inspection:
        """Tells the same of a request that comes as bytes.

        Args:
            question: a `ComputeFeaturesRequest`, or the error that its bytes gave.

        Raises:
            ModelNotFoundError, InvalidRequestError: as `predict` does.
        """
        if isinstance(question, DecodeError):
            raise InvalidRequestError(f"the bytes are no athanor.inspection.v1.ComputeFeaturesRequest: {question}")
        self._check_model(question.model_name, question.semantic_version)
        try:
            request = self.request_class.FromString(question.request)
        except DecodeError as error:
            return self.inspect(error, request_id)
        return self.inspect(request, request_id)

    def _read(self, request: Any) -> Columns:
        """The rows of a request that may be answered, as columns. Raises as `predict` does."""
        if isinstance(request, DecodeError):
            raise InvalidRequestError(f"the bytes are no {self.contract.predict.input_type.full_name}: {request}")
        self._check_model(request.model_name, request.semantic_version)
        rows = getattr(request, self.contract.rows_field.name)
        self._check_count(len(rows))
        columns = to_columns(self.contract.columns, rows)
        if breaches := validate(self.contract.columns, columns):
            self._refuse(breaches)
        return columns

    def _check_model(self, name: str, semantic_version: str) -> None:
        if name not in ("", self.contract.name):
            raise ModelNotFoundError(f"model {name!r} is not served here; {self.contract.name!r} is")
        if semantic_version not in ("", self._semantic_version):
            raise ModelNotFoundError(
                f"{self.contract.name} {semantic_version!r} is not served; {self._semantic_version!r} is"
            )

    def _check_count(self, count: int) -> None:
        field = self.contract.rows_field.name
        if not count:
            violation = FieldViolation(field, "REQUIRED", "is required; give at least one")
            raise InvalidRequestError(f"{field} is empty", (violation,))
        if count > self._max_rows:
            violation = FieldViolation(field, "TOO_MANY", f"{count} are too many; give at most {self._max_rows}")
            raise InvalidRequestError(f"{field} has more than {self._max_rows} rows", (violation,))

    def _refuse(self, breaches: tuple[Breach, ...]) -> None:
        field = self.contract.rows_field.name
        found = sorted((v for breach in breaches for v in breach), key=lambda v: (v.row, v.column.number))
        violations = tuple(FieldViolation(f"{field}[{v.row}].{v.column.name}", v.rule.value, str(v)) for v in found)
        rows = len({violation.row for violation in found})
        raise InvalidRequestError(f"{len(violations)} values in {rows} of the rows break the contract", violations)

    def _answer(self, probabilities: NDArray[np.float64], request_id: str) -> Message:
        response = self.response_class(
            model_name=self.contract.name,
            semantic_version=self._semantic_version,
            release_digest=self._predictor.release.digest,
            request_id=request_id,
        )
        add = getattr(response, self.contract.predictions_field.name).add
        name = self.contract.prediction.name
        for probability in probabilities.tolist():
            add(**{name: probability})
        return response


def _read_release(store: ReleaseStore, model: str, digest: str, public_key: Path | None) -> Release:
    """A release that may be loaded."""
    release = store.read(model, digest)
    if public_key:
        from athanor.release.signature import verify_signature  # noqa: PLC0415 - else nothing needs cryptography

        verify_signature(release, store.read_signatures(model, digest), public_key)
    return release
