"""Where a study lies, by what the user said: sqlite:///sweep.db, journal:PATH, postgresql://..., and how it is opened by many."""

from __future__ import annotations

import contextlib
import random
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from edgevit.errors import BadInput, EdgevitError, NotInstalled

T = TypeVar("T")
JOURNAL = "journal:"
DATABASES = ("sqlite", "postgresql", "mysql")
EXAMPLES = "sqlite:///sweep.db, journal:sweep.journal (on any shared disk, NFS too), postgresql://USER@HOST/NAME, or mysql://..."
TRIES = 8
"""To open a database that others may be making tables in at the same moment."""
RACES = ("OperationalError", "ProgrammingError", "IntegrityError", "StorageInternalError")
"""Errors of a database, of which some are said by it where two do the same at once."""
SLOW = 2.0
AWAY, PAUSE = 60.0, 2.0
BUSY = 60
"""Seconds that SQLite waits for others."""


def require(url: str) -> None:
    """Raise BadInput for what is no storage, or none that another process could open."""
    if url.startswith(JOURNAL):
        path = url.removeprefix(JOURNAL)
    elif (kind := url.partition(":")[0].partition("+")[0]) not in DATABASES or "://" not in url:
        raise BadInput(f"no storage of a search: {hidden(url)[:80]}", f"one of {EXAMPLES}")
    elif kind == "sqlite":
        path = url.partition(":///")[2].partition("?")[0]
    else:
        return
    if not path or ":memory:" in path:
        raise BadInput(f"a storage without a file: {hidden(url)[:80]}", f"one of {EXAMPLES}")
    if not Path(path).absolute().parent.is_dir():
        raise BadInput(f"no such folder: {Path(path).parent}", "the storage makes its file, but no folder")
    if Path(path).is_dir():
        raise BadInput(f"a folder, and no file of a storage: {path}", f"one of {EXAMPLES}")


def hidden(url: str) -> str:
    """Without its password, as it may be shown."""
    shown = re.sub(r"://([^:/@\s]*):[^\s'\"]*@", r"://\1:***@", url)
    return re.sub(r"(password=)[^&\s'\"]*", r"\1***", shown)


@contextlib.contextmanager
def asked_of(where: str) -> Iterator[None]:
    """What the storage says, as an error of ours: its file or database is others', and may hold anything."""
    try:
        yield
    except EdgevitError:
        raise
    except ImportError as error:
        hint = "for PostgreSQL: pip install 'psycopg[binary]'; for MySQL: pip install pymysql, and mysql+pymysql://..."
        raise NotInstalled(f"{where} needs a driver that is not installed", hint) from error
    except Exception as error:
        said = str(error.__cause__ or error).strip() or type(error).__name__
        message = f"the storage {where} cannot be used: {hidden(said.splitlines()[0])[:300]}"
        raise BadInput(message, "it is away, full or damaged, or another program wrote it") from error


def patiently(where: str, question: Callable[[], T]) -> T:
    """What the storage answers; while it is away it is asked again, for a minute: hours of a trial are more than that."""
    until = time.monotonic() + AWAY
    while True:
        try:
            with asked_of(where):
                return question()
        except BadInput as error:
            away = isinstance(error.__cause__, OSError) or type(error.__cause__).__name__ in RACES
            if not away or time.monotonic() > until:
                raise
            time.sleep(PAUSE)


def again(number: int, took: float, error: Exception) -> None:
    """Wait before try `number` is repeated; raises `error` where it was the last, or no other would end better.

    A database that does not answer for seconds (`took`) is not there; that of two who make the same table fails at once.
    """
    if number == TRIES or took > SLOW or type(error).__name__ not in RACES:
        raise error
    time.sleep(random.uniform(0.05, 0.5))
