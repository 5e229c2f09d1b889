"""The process that asks Core ML: an order on stdin, moments and a last word on stdout. What libraries print goes to stderr."""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import threading
import traceback
import warnings
from collections.abc import Callable
from typing import NoReturn

from edgevit import record
from edgevit.errors import DeviceLost, EdgevitError
from targets.devices.apple import hints as apple_hints
from targets.devices.apple.order import Order, Said, line

Tell = Callable[[Said], None]
VERBS = ("phones", "launch", "sustain", "answers", "plan")


def main() -> NoReturn:
    """Once the last word is said the process leaves at once: native libraries may crash in their own exit handlers."""
    voice = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    order = record.decode(sys.stdin.buffer.readline(), Order)
    threading.Thread(target=_leave_with_parent, daemon=True).start()

    def tell(said: Said) -> None:
        voice.write(line(said))
        voice.flush()

    last = done(order, tell)
    gc.collect()  # a model that is let go of removes what Core ML compiled for it
    tell(last)
    sys.stderr.flush()
    os._exit(0)


def _leave_with_parent() -> None:
    while sys.stdin.buffer.read(1):
        pass
    os._exit(1)


def done(order: Order, tell: Tell) -> Said:
    """The last word on `order`. Whatever coremltools or Xcode say is a fault with a hint, and no traceback.

    coremltools warns of a model that it cannot load and says why, and then fails without the reason; so the warning is added.
    """
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        try:
            return asyncio.run(_answered(order, tell))
        except EdgevitError as error:
            return Said(fault=error.message, hint=error.hint, lost=isinstance(error, DeviceLost))
        except Exception as error:  # of coremltools, which may raise anything
            traceback.print_exc()
            return apple_hints.fault(error, [str(w.message) for w in warned if w.category is RuntimeWarning])


async def _answered(order: Order, tell: Tell) -> Said:
    from targets.devices.apple import phone as apple_phone

    if order.verb == "phones":
        return Said(phones=apple_phone.listed())
    if order.udid is None:
        return await _of_model(order, None, tell)
    async with apple_phone.prepared(order) as phone:
        return await _of_model(order, phone, tell)


async def _of_model(order: Order, phone: object, tell: Tell) -> Said:
    from targets.devices.apple import benchmark as apple_benchmark
    from targets.devices.apple import plan as apple_plan

    if order.verb == "launch":
        return Said(launch=await apple_benchmark.launch(order, phone))
    if order.verb == "sustain":
        await apple_benchmark.sustain(order, phone, lambda moment: tell(Said(moment=moment)))
    elif order.verb == "answers":
        await apple_benchmark.answers(order, phone)
    elif order.verb == "plan":
        return Said(placed=await apple_plan.placed(order, phone))
    return Said()
