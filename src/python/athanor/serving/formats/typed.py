"""The contract's own messages: reads questions from requests, and writes answers into responses."""

from typing import Any

from google.protobuf import json_format
from google.protobuf.message import DecodeError, Message

from athanor.errors import InvalidRequestError
from athanor.serving.answering.core import Answer, Core, Question


def parse(core: Core, content: bytes) -> Any:
    """Parses a request. Raises InvalidRequestError if the bytes are malformed."""
    try:
        return core.request_class.FromString(content)
    except DecodeError as error:
        name = core.contract.predict.input_type.full_name
        raise InvalidRequestError(f"the bytes are not a valid {name}: {error}") from None


def parse_json(core: Core, body: bytes) -> Any:
    """Parses a request in protobuf JSON. Raises InvalidRequestError if it is malformed."""
    try:
        return json_format.Parse(body, core.request_class())
    except (json_format.ParseError, UnicodeDecodeError, RecursionError) as error:
        name = core.contract.predict.input_type.full_name
        raise InvalidRequestError(f"the body is not a valid {name} in protobuf JSON: {error}") from None


def to_question(core: Core, request: Any, sticky_key: str = "") -> Question:
    """The question in a request.

    Raises:
        ModelNotFoundError: the request names another model.
        InvalidRequestError: the request has no rows, or too many.
    """
    rows = getattr(request, core.contract.rows_field.name)
    return core.ask_by_messages(rows, request.model_name, request.semantic_version, sticky_key)


def to_response(core: Core, answer: Answer, request_id: str) -> Message:
    """An answer as the contract's response message."""
    variant = answer.variant
    response = core.response_class(
        model_name=core.contract.name,
        semantic_version=variant.semantic_version,
        release_digest=variant.digest,
        request_id=request_id,
        variant=variant.name,
    )
    add = getattr(response, core.contract.predictions_field.name).add
    name = core.contract.prediction.name
    for probability in answer.probabilities.tolist():
        add(**{name: probability})
    return response
