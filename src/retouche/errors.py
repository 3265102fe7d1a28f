"""Everything that can go wrong by a user's hand, each with the remedy in its one line.

RetoucheError
├── InputError     a picture, mask, size or option that cannot be used
├── WeightsError   a weight file that is unsafe, foreign, broken or missing
└── DataError      a folder or data set that cannot be read as asked
"""

from __future__ import annotations


class RetoucheError(Exception):
    """Base of all errors a user can cause; the command line prints it as one line and exits with 2."""


class InputError(RetoucheError, ValueError):
    """A picture, mask, size or option cannot be used as given."""


class WeightsError(RetoucheError):
    """A weight file is unsafe, foreign, incomplete or missing."""


class DataError(RetoucheError):
    """A folder or data set cannot be read as asked."""


def reason(error: BaseException) -> str:
    """One short line of what another library says."""
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return " ".join(text.split())[:120] or type(error).__name__
