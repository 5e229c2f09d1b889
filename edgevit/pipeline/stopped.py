"""What a stage raises, as an Outcome that names it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from edgevit.errors import BadInput, EdgevitError, LoadFailed, QuantizeFailed, StageCrashed
from edgevit.types import Outcome

WHILE = {"quantizing": Outcome.QUANTIZE_FAILED, "loading": Outcome.LOAD_FAILED}
"""What a stage that died was at, by the beginning of what it said last."""


class Stopped(Exception):
    """The stage that stopped an export, as an Outcome, and what it said."""

    def __init__(self, outcome: Outcome, error: EdgevitError) -> None:
        self.outcome, self.error = outcome, error


@contextlib.contextmanager
def outcome(otherwise: Outcome) -> Iterator[None]:
    """Turn what a stage raises into Stopped; what the user can mend stays as it is."""
    try:
        yield
    except BadInput:
        raise
    except QuantizeFailed as error:
        raise Stopped(Outcome.QUANTIZE_FAILED, error) from error
    except LoadFailed as error:
        raise Stopped(Outcome.LOAD_FAILED, error) from error
    except StageCrashed as error:
        raise Stopped(next((found for word, found in WHILE.items() if error.doing.startswith(word)), otherwise), error) from error
    except EdgevitError as error:
        raise Stopped(otherwise, error) from error
