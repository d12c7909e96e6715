"""What callers see of a model: its contract, by which doors read questions."""

from collections.abc import Sequence
from dataclasses import dataclass

from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from athanor.contract.assignment import tells_callers_apart
from athanor.contract.columns import Columns
from athanor.contract.contract import Contract
from athanor.contract.shown import shown
from athanor.contract.validation import validate
from athanor.errors import FieldViolation, InvalidRequestError, ModelNotFoundError
from athanor.serving.answering.refusals import Locate, Unread, refuse


@dataclass(frozen=True, slots=True)
class Question:
    """Rows to predict, as columns or, if `columns` is None, as messages.

    Attributes:
        contract: by which they were read.
        content: the serialised request if it was read into columns; it keeps fields that the contract does not know.
        count: number of rows, at least one.
        locate: names a value for the caller, or a row.
        semantic_version: version to ask; "" to choose by traffic.
        sticky_key: key that chooses the variant; "" for the key columns of the first row.
        with_features: whether its answer needs the features.
    """

    contract: Contract
    count: int
    locate: Locate
    messages: Sequence[Message] = ()
    columns: Columns | None = None
    content: bytes = b""
    semantic_version: str = ""
    sticky_key: str = ""
    with_features: bool = False


class Interface:
    """Makes questions about one model, for as long as its contract stays the same.

    Attributes:
        sticks_by_request_id: whether the contract's key cannot tell callers apart, so that a question without a sticky
            key needs its request's id as one.
    """

    def __init__(self, contract: Contract, max_rows: int) -> None:
        """Args: max_rows: of a question."""
        self.contract = contract
        self.request_class = GetMessageClass(contract.predict.input_type)
        self.response_class = GetMessageClass(contract.predict.output_type)
        self.max_rows = max_rows
        self.sticks_by_request_id = not tells_callers_apart(contract.wire)

    def ask_by_messages(
        self, messages: Sequence[Message], model_name: str = "", semantic_version: str = "", sticky_key: str = ""
    ) -> Question:
        """A question about messages of the contract.

        Raises:
            ModelNotFoundError: the request names another model.
            InvalidRequestError: there are no rows, or too many.
        """
        field = self.contract.rows_field.name
        self.check_model(model_name)
        self.check_count(len(messages), field)
        return Question(
            self.contract,
            len(messages),
            self.locate,
            messages=messages,
            semantic_version=semantic_version,
            sticky_key=sticky_key,
        )

    def ask_by_columns(
        self,
        columns: Columns,
        locate: Locate,
        semantic_version: str = "",
        sticky_key: str = "",
        unread: Unread | None = None,
        content: bytes = b"",
    ) -> Question:
        """A question about rows that were read into columns: at least one, and not too many.

        Args:
            content: as of `Question`.

        Raises:
            InvalidRequestError: some values are unread; names them, and every value that breaks the contract.
        """
        count = len(columns[self.contract.columns[0].name])
        if unread:
            raise refuse(validate(self.contract.columns, columns), unread, count, locate)
        return Question(
            self.contract,
            count,
            locate,
            columns=columns,
            content=content,
            semantic_version=semantic_version,
            sticky_key=sticky_key,
        )

    def locate(self, row: int, column: str) -> str:
        """Names a value of a request in the contract's own messages, or a row if the column is ""."""
        field = self.contract.rows_field.name
        return f"{field}[{row}].{column}" if column else f"{field}[{row}]"

    def key(self, columns: Columns, row: int) -> str:
        """The sticky key of a row that comes without one."""
        return "\x1f".join(str(columns[column.name][row]) for column in self.contract.key)

    def check_model(self, name: str) -> None:
        """Raises ModelNotFoundError if a request names another model."""
        if name and name != self.contract.name:
            raise ModelNotFoundError(f"model {shown(name)} is not served here; {self.contract.name!r} is")

    def check_count(self, count: int, field: str) -> None:
        """Raises InvalidRequestError if a request has no rows or too many."""
        if not count:
            violation = FieldViolation(field, "REQUIRED", "is required; give at least one")
            raise InvalidRequestError(f"{field} is empty", (violation,))
        if count > self.max_rows:
            violation = FieldViolation(field, "TOO_MANY", f"has more than {self.max_rows} rows; give no more")
            raise InvalidRequestError(f"{field} has more than {self.max_rows} rows", (violation,))
