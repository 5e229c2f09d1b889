"""A few images answered on the device: one copy there, a process for each image, one copy back."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from edgevit.errors import DeviceFault
from targets.devices.android import benchmark_model, executor_runner
from targets.devices.android.folder import HASH, Folder
from targets.devices.android.process import BEGIN, DONE, STARTED, Ran, Runner, pinned, require_done
from targets.devices.android.shell import quoted

IMAGES, IMAGE, ONE, ALL = "images.raw", "image.raw", "answer-0.bin", "answers.raw"
"""Names in our folder: all images, one of them, the answer to it, and all answers."""
NO_ROOM, NO_ANSWER = 110, 111


def answered(
    folder: Folder, runner: Runner, here: Path, images: np.ndarray, arguments: Sequence[str], cores: tuple[int, ...], limit: float
) -> bytes:
    """The bytes of all answers, one behind the other. `here` is a folder of ours on this machine. Raises DeviceFault."""
    content = images.tobytes()
    local = here / IMAGES
    local.write_bytes(content)
    folder.put(local, IMAGES, hashlib.sha256(content).hexdigest())
    ran = runner.script(_script(folder.path, len(images), len(content) // len(images), arguments, cores), arguments[0], limit)
    _require_answers(ran, arguments[0], runner)
    found = HASH.search(ran.said.out)
    if not found:
        raise DeviceFault("the device did not hash its answers")
    return folder.get(ALL, found[1], here / ALL)


def _script(path: str, count: int, size: int, arguments: Sequence[str], cores: tuple[int, ...]) -> str:
    """It can be begun again: every answer is removed before its image is asked."""
    program = quoted([*pinned(cores), f"./{arguments[0]}", *arguments[1:]])
    return f"""cd {path} || exit 9
{BEGIN}
rm -f {ALL}; touch {ALL} || exit {NO_ROOM}
i=0
while [ $i -lt {count} ]; do
rm -f {ONE}
dd if={IMAGES} of={IMAGE} bs={size} skip=$i count=1 2>/dev/null || exit {NO_ROOM}
{STARTED} {program} > said.txt 2>&1
code=$?
[ $code -eq 0 ] && [ ! -s {ONE} ] && code={NO_ANSWER}
if [ $code -ne 0 ]; then head -c 20000 said.txt; echo; {DONE}; exit $code; fi
cat {ONE} >> {ALL} || exit {NO_ROOM}
i=$((i+1))
done
rm -f $p
sha256sum {ALL}"""


def _require_answers(ran: Ran, name: str, runner: Runner) -> None:
    if ran.said.code == 0:
        return
    if ran.said.code == NO_ROOM:
        raise DeviceFault("the device could not write its answers", "free some space on the device")
    if name == "executor_runner":
        complaint = executor_runner.complaint(f"{ran.said.all}\n{runner.log(executor_runner.TAG, ran.pid)}")
    else:
        complaint = benchmark_model.complaint(ran.said.all)
    if ran.said.code == NO_ANSWER:
        raise DeviceFault(f"{name} wrote no answer; it said: {complaint}")
    require_done(ran, name, complaint)
