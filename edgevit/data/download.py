"""Files from a server, by HTTP. A connection that is cut goes on where it was (RFC 9110, section 14, range requests)."""

from __future__ import annotations

import errno
import functools
import http.client
import os
import re
import time
import urllib.error
import urllib.request
from typing import IO

from edgevit.errors import BadInput, DamagedFile, from_os_error

SCHEMES = ("http://", "https://")
TIMEOUT = 60.0
"""Seconds without a byte after which a connection counts as cut."""
ATTEMPTS = 6
"""In a row, without a byte that is new."""
WAIT = 0.5
"""Seconds before the second attempt; twice as long before each one after it."""
PIECE = 1 << 20
PASSING = (408, 416, 425, 429, 500, 502, 503, 504)
"""Answers that another attempt may better; after 416 it asks for all of it."""
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
HANDLERS = (
    urllib.request.ProxyHandler, urllib.request.UnknownHandler, urllib.request.HTTPHandler, urllib.request.HTTPSHandler,
    urllib.request.HTTPDefaultErrorHandler, urllib.request.HTTPRedirectHandler, urllib.request.HTTPErrorProcessor,
)  # fmt: skip
"""Nothing else: a server might send us on to a file of this machine."""


def fetch(url: str, file: IO[bytes], most: int, size: int | None = None) -> None:
    """Append what is at `url` to what is there of it in `file`, until all of it is: `size` bytes, where that is known.

    Raises BadInput where the server refuses, or cannot be reached in several attempts, DamagedFile for more than `most` bytes,
    and for a file that is shorter than `size`.
    """
    failed, problem = 0, ""
    while failed < ATTEMPTS:
        have = file.seek(0, os.SEEK_END)
        if size is not None and have == size:
            return
        try:
            if _asked(url, file, have, most):
                _require_all(url, file.seek(0, os.SEEK_END), size)
                return
            problem = "the connection was cut"
        except urllib.error.HTTPError as error:
            problem = f"{error.code} {error.reason}"
            if error.code not in PASSING:
                raise BadInput(f"the server answers {problem}: {url}", "look at the address, and at who may read it") from error
            if error.code == 416:
                file.truncate(0)
        except (OSError, http.client.HTTPException) as error:
            if isinstance(error, OSError) and error.errno in FULL:
                raise from_os_error(error) from error
            problem = _words(getattr(error, "reason", error))
        failed = 0 if file.seek(0, os.SEEK_END) > have else failed + 1
        if 0 < failed < ATTEMPTS:
            time.sleep(WAIT * 2 ** (failed - 1))
    raise BadInput(f"cannot fetch {url}: {problem.lower()}", "what was fetched so far is kept, and goes on where it was")


def _words(error: object) -> str:
    return (isinstance(error, OSError) and error.strerror) or str(error) or type(error).__name__


def _require_all(url: str, found: int, size: int | None) -> None:
    if size is not None and found != size:
        raise DamagedFile(f"{found} bytes where {size} are expected: {url}", "another file lies there than its index says")


def _asked(url: str, file: IO[bytes], have: int, most: int) -> bool:
    """Append what one request gives; whether the server gave all that it announced."""
    headers = {"User-Agent": "edgevit", "Accept-Encoding": "identity", **({"Range": f"bytes={have}-"} if have else {})}
    with _opener().open(urllib.request.Request(url, headers=headers), timeout=TIMEOUT) as response:
        if have and response.status != 206:  # all of it, from a server that knows no ranges
            file.truncate(0)
            have = 0
        elif have and not re.match(rf"bytes {have}-", response.headers.get("Content-Range", "")):
            raise OSError("another range than was asked for")
        announced = response.headers.get("Content-Length")
        file.seek(0, os.SEEK_END)
        while piece := response.read(PIECE):
            file.write(piece)
            if file.tell() > most:
                raise DamagedFile(f"more than the {most} bytes that were expected: {url}")
        return announced is None or file.tell() - have == int(announced)


@functools.cache
def _opener() -> urllib.request.OpenerDirector:
    opener = urllib.request.OpenerDirector()
    for handler in HANDLERS:
        opener.add_handler(handler())
    return opener
