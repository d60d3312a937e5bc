"""The one exception a user's mistake raises: what, where, what was expected."""


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
