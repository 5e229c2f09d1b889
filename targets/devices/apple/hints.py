"""What coremltools, Xcode and devicectl say, in one plain line, and what to do about it."""

from __future__ import annotations

from collections.abc import Sequence

from targets.devices.apple.order import Said

MOST = 300
TEAM = "set EDGEVIT_APPLE_TEAM to your team's identifier (docs/apple.md)"
XCODE = "install Xcode 15 or later from the App Store, open it once, and `sudo xcode-select -s /Applications/Xcode.app`"

HINTS = (
    ("'devicectl' command", f'{XCODE}; then `export PATH="$(dirname "$(xcrun --find devicectl)"):$PATH"`'),
    ("'xcodebuild' command", XCODE),
    ("unable to find utility", XCODE),
    (
        "model runner directory",
        "coremltools' wheel for macOS has it: `pip install --force-reinstall 'coremltools>=9.0,<10'` on the Mac",
    ),
    (
        "workspace directory",
        "coremltools' wheel for macOS has it: `pip install --force-reinstall 'coremltools>=9.0,<10'` on the Mac",
    ),
    ("developer mode", "switch it on: Settings, Privacy & Security, Developer Mode; the device restarts"),
    ("explicitly trusted", "trust the developer: Settings, General, VPN & Device Management"),
    ("invalid code signature", f"{TEAM}, and trust the developer: Settings, General, VPN & Device Management"),
    ("not paired", "plug the device in, unlock it, and choose Trust there"),
    ("pairing", "plug the device in, unlock it, and choose Trust there"),
    ("locked", "unlock the device, and leave it unlocked while it is measured"),
    ("not connected", "plug it in, unlock it, and open Xcode's window Devices and Simulators once"),
    ("must be connected", "plug it in, unlock it, and open Xcode's window Devices and Simulators once"),
    ("signing", TEAM),
    ("provisioning", TEAM),
    ("app build failed", f"{TEAM}; to see what Xcode says, build coremltools' modelrunner/ModelRunner.xcworkspace there once"),
    ("macos >= 14.4", "update macOS: Core ML tells its plan from 14.4 on"),
    ("not supported on this platform", "update the device: Core ML tells its plan from iOS 17.4 on"),
    ("mlcomputeplan is not supported", "Core ML tells its plan from macOS 14.4 on, to coremltools' wheel for macOS"),
    ("failed to load model", "Core ML does not take the package: `edgevit inspect` says which system it wants"),
    ("missing modelid", "the app was stopped; leave ModelRunner in front"),
    ("no space", "free some space there"),
)
"""By what the text holds, in lower case; the first that fits."""


def fault(error: Exception, warned: Sequence[str] = ()) -> Said:
    """The last of the warnings stands behind the error's own words."""
    text = "; ".join([words(error), *(plain(text) for text in warned[-1:])])
    return Said(fault=text, hint=hint(text), lost=lost(text))


def hint(text: str) -> str:
    return next((hint for part, hint in HINTS if part in text.lower()), "")


def lost(text: str) -> bool:
    """Whether devicectl says that there is no connection."""
    return any(part in text.lower() for part in ("not connected", "disconnected", "connection was", "unable to locate a device"))


def words(error: Exception) -> str:
    """coremltools hands on bytes as they came, and of a build that failed only the code: xcodebuild's words are lost there."""
    said = getattr(error, "message", None)
    text = plain(said if isinstance(said, bytes | str) else str(error)) or "no message"
    code = getattr(error, "error_code", None)
    if type(error).__qualname__ == "_AppBuilder.Error":
        return (
            f"ModelRunner's app build failed with code {code}: {text}"
            if said
            else f"ModelRunner's app build failed with code {code}"
        )
    return f"{type(error).__name__.lstrip('_')}: {text}"


def plain(said: bytes | str) -> str:
    """The first line with a word in it, without control characters."""
    text = said.decode(errors="replace") if isinstance(said, bytes) else said
    lines = ("".join(c if c.isprintable() else " " for c in line).strip() for line in text.splitlines())
    return next(filter(None, lines), "")[:MOST]
