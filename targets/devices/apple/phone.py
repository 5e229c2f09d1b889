"""iPhones and iPads by coremltools' remote device: listed by devicectl, and made ready by building and starting ModelRunner."""

from __future__ import annotations

import contextlib
import re
from collections.abc import AsyncIterator
from typing import Any

from edgevit.errors import DeviceFault, DeviceLost
from edgevit.lean import COREML_EXTRAS, without
from targets.devices.apple import hints as apple_hints
from targets.devices.apple.order import Order, Phone, Signing

with without(*COREML_EXTRAS):
    from coremltools.models.ml_program.experimental import remote_device

NAMED = re.compile(r"[0-9A-Za-z-]{1,64}")
"""What identifiers of devices look like. coremltools puts them into lines for the shell, so nothing else may pass."""
SIGNED = {"team": re.compile(r"[0-9A-Z]{10}"), "profile": NAMED, "bundle": re.compile(r"[0-9A-Za-z.-]{1,155}")}


def listed() -> tuple[Phone, ...]:
    """Those that devicectl knows, connected or not. Raises what coremltools does without Xcode."""
    kinds = (remote_device.DeviceType.IPHONE, remote_device.DeviceType.IPAD)
    found = [device for device in remote_device.Device.get_devices() if device.type in kinds]
    return tuple(_phone(device) for device in found if _named(device.identifier) and _named(device.udid))


def _named(text: object) -> bool:
    return isinstance(text, str) and NAMED.fullmatch(text) is not None


def _phone(device: Any) -> Phone:
    texts = (device.name, device.identifier, device.udid, device.os_version, device.os_build_number, device.state.value)
    return Phone(*(apple_hints.plain(str(text)) for text in (*texts, device.developer_mode_state)))


@contextlib.asynccontextmanager
async def prepared(order: Order) -> AsyncIterator[Any]:
    """The phone with ModelRunner running on it, freshly started; stopped at the end.

    It is built in `order.work` the first time, which takes Xcode minutes. coremltools only notices that the app did not start by
    waiting in vain, so where it is gone after a fault, what devicectl said of it comes first.
    """
    device = await _device(order.udid).prepare_for_model_debugging(
        credentials=_credentials(order.signing), working_directory=order.work
    )
    try:
        yield device
    except Exception as error:
        if said := _last_words(device.session):
            kind = DeviceLost if apple_hints.lost(said) else DeviceFault
            raise kind(f"ModelRunner does not run there: {said}", apple_hints.hint(said)) from error
        raise
    finally:
        device.session.stop()


def _device(udid: str | None) -> Any:
    for device in remote_device.Device.get_devices():
        if device.udid == udid and _named(device.udid) and _named(device.identifier):
            return device
    raise DeviceLost("the device is gone", "plug it in, and unlock it")


def _credentials(signing: Signing) -> Any:
    return remote_device.AppSigningCredentials(
        development_team=signed("team", signing.team),
        provisioning_profile_uuid=signed("profile", signing.profile) or None,
        bundle_identifier=signed("bundle", signing.bundle) or None,
    )


def signed(kind: str, text: str) -> str:
    """`text` as it is, or a DeviceFault for what is no such thing: coremltools would hand it to a shell."""
    if text and not SIGNED[kind].fullmatch(text):
        raise DeviceFault(
            f"EDGEVIT_APPLE_{kind.upper()} is none: {apple_hints.plain(text)}", "docs/apple.md says where Xcode shows it"
        )
    return text


def _last_words(session: Any) -> str:
    """What devicectl said when it ended; empty while it still runs the app."""
    if session.is_alive():
        return ""
    out, err = session._process.communicate(timeout=5)
    return apple_hints.plain(err or b"") or apple_hints.plain(out or b"")
