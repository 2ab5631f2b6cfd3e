"""The one error a user meets: where it happened, what is wrong, how to mend it."""


class UserError(Exception):
    """A mistake in the user's input, told in one sentence each: place, fault, cure.

    The command line prints `shinso: WHERE: WHAT. CURE.` on one line and exits with 2.
    """

    alone = False
    """whether, among several processes of a run, only this one meets it"""

    def __init__(self, where: object, what: str, cure: str):
        self.where, self.what, self.cure = str(where), what, cure
        super().__init__(self.line())

    def line(self) -> str:
        """The whole message on one line; control characters in names are shown escaped."""
        text = f"{self.where}: {_ended(self.what)} {_ended(self.cure)}"
        return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


class Lost(UserError):
    """Another process of this run has ended, so that process `rank` cannot go on."""

    alone = True

    def __init__(self, rank: int):
        super().__init__(f"process {rank}", "another process of this run has ended",
                         "What was saved continues with --resume")


def _ended(sentence: str) -> str:
    """One full stop, or the mark that is already there."""
    return sentence if sentence.endswith(("?", "!", "。")) else sentence.rstrip(".") + "."


class Diverged(Exception):
    """A run that left the finite numbers: which value, at which step, and where it began."""

    def __init__(self, step: int, name: str, origin: str):
        self.step, self.name, self.origin = step, name, origin
        super().__init__(f"step {step}: {name} is not finite; first bad tensor: {origin}")
