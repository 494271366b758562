"""The exception for errors whose message is shown to the user."""

from __future__ import annotations


class UserError(Exception):
    """Something the user can put right: a missing file, a wrong value, no network.

    The message is one line that says what is wrong, with which file or value, and what to do. The
    command line prints it without a traceback and exits with status 1.
    """

    def __init__(self, message: object) -> None:
        super().__init__(" ".join(str(message).split()))
