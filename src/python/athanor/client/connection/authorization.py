"""The token of a client, in calls and out of texts."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Authorization:
    """Token of the calls; None if the service needs none."""

    token: str | None = field(repr=False)

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        return () if self.token is None else (("authorization", f"Bearer {self.token}"),)

    def hide(self, text: str) -> str:
        """The text without the token, in case a service repeats it."""
        return text if self.token is None else text.replace(self.token, "[token]")
