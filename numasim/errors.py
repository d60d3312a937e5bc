"""The one exception a user's mistake raises: what, where, what was expected."""

from collections.abc import Iterator
from contextlib import contextmanager


class UserError(Exception):
    """A mistake in what the user gave. The command line prints it as one line and exits with 2.

    what: what is wrong; where: file, key or option; expected: what would have been right (each one phrase).
    """

    def __init__(self, what: str, where: str = "", expected: str = "") -> None:
        self.what, self.where, self.expected = what, where, expected
        super().__init__(what, where, expected)

    def __str__(self) -> str:
        text = f"{self.where}: {self.what}" if self.where else self.what
        return (f"{text} (expected {self.expected})" if self.expected else text).replace("\n", " ")


@contextmanager
def told_in(place: str) -> Iterator[None]:
    """UserErrors of the block name `place` (a file, a group in it) before their own where; "": as they are."""
    try:
        yield
    except UserError as error:
        if not place or error.where.startswith(place):
            raise
        where = f"{place}: {error.where}" if error.where else place
        raise UserError(error.what, where, error.expected) from None
