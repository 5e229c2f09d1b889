"""A stage in a child process: its result and errors cross the border as themselves, its crash is an error, its end is certain."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from edgevit import errors, stage, warm
from edgevit.errors import BadInput, EdgevitError, LoadFailed, StageCrashed, StageFailed, UnknownName
from edgevit.types import Delegation, Exported, Latency, Outcome

JOBS = Path(__file__).parent / "sabotage"
ON_LINUX = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")


class Every:
    """Of a set, what is asked of the jobs that begin warm."""

    def __contains__(self, job: object) -> bool:
        return True


@pytest.fixture(autouse=True, params=["cold", pytest.param("warm", marks=ON_LINUX)])
def begun(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Children of either kind do the same. They look for modules where their parent does."""
    monkeypatch.syspath_prepend(str(JOBS))
    monkeypatch.setattr(warm, "JOBS", Every() if request.param == "warm" else ())
    return str(request.param)


def _until(holds: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def _gone(process: int) -> bool:
    """Whether a process has ended; one that nobody has waited for yet has."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return True


def test_nouns_cross_the_border_both_ways() -> None:
    arguments = {"folder": Path("a/b"), "numbers": (1, 2, 3), "outcome": Outcome.PASS, "absent": None}
    done = stage.run("stage_jobs:noun", Exported, **arguments)
    assert done.value == Exported("a/b/PASS", Delegation(1, 2, 3), ())
    assert 0 < done.seconds < 120
    assert stage.run("stage_jobs:nouns", list[Latency]).value == [
        Latency("a", "host", 1.5, threads=2),
        Latency("b", "none", reason="not here"),
    ]


@pytest.mark.parametrize(("code", "number"), [(0.1, 0.1), (1e300, 1e300), (-1, float("inf")), (-2, float("-inf"))])
def test_numbers_cross_as_they_are(code: float, number: float) -> None:
    """An artifact that answers with infinities has an infinite error, and that is a finding, not a fault."""
    assert stage.run("stage_jobs:number", float, value=code).value == number


def test_what_is_no_number_crosses_too() -> None:
    found = stage.run("stage_jobs:number", float, value=-3.0).value
    assert found != found


def test_a_long_answer_crosses_whole() -> None:
    assert stage.run("stage_jobs:text", str, length=3_000_000).value == "ü" * 3_000_000


def test_it_is_another_process() -> None:
    assert stage.run("stage_jobs:process", int).value != os.getpid()


def test_progress_arrives_in_order_and_whole() -> None:
    seen: list[tuple[str, float, float | None]] = []
    stage.run("stage_jobs:progressing", type(None), lambda *step: seen.append(step), steps=50)
    counted = [done for label, done, total in seen if label == "counting" and total == 50]
    assert counted == sorted(counted) and counted[0] == 1 and counted[-1] == 50
    assert seen[-1] == ("who knows", 0, None)
    assert list(dict.fromkeys(label for label, _, _ in seen))[-2:] == ["counting", "who knows"]


@pytest.mark.parametrize(("name", "kind"), [("BadInput", BadInput), ("LoadFailed", LoadFailed), ("OurOwn", StageFailed)])
def test_our_errors_cross_as_themselves(name: str, kind: type[EdgevitError]) -> None:
    with pytest.raises(EdgevitError) as caught:
        stage.run("stage_jobs:ours", type(None), kind=name)
    assert type(caught.value) is kind and caught.value.exit_code == kind.exit_code
    assert (caught.value.message, caught.value.hint, str(caught.value)) == (f"a {name} [red]", "a hint: ä", f"a {name} [red]")


def test_an_unknown_name_crosses_with_its_neighbours() -> None:
    with pytest.raises(UnknownName, match="unknown target: corml") as caught:
        stage.run("stage_jobs:ours", type(None), kind="UnknownName")
    assert caught.value.hint == "nearest: coreml; known: coreml, tflite"


def test_every_error_of_ours_can_cross() -> None:
    known = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, EdgevitError)]
    assert BadInput in known and len(known) > 5
    for kind in known:
        last = {"error": {"kind": kind.__name__, "message": "m", "hint": "h"}}
        again = stage._failure("module:job", 0, last, "waiting", io.BytesIO())
        assert type(again) is kind and (again.message, again.hint) == ("m", "h")


def test_an_unknown_error_is_a_failed_stage_with_its_log() -> None:
    with pytest.raises(StageFailed) as caught:
        stage.run("stage_jobs:theirs", type(None))
    assert type(caught.value) is StageFailed and caught.value.exit_code == 1
    assert caught.value.message == "ValueError: first line"
    for words in ("a word on stdout", "a word on stderr", "not text: ", "Traceback", "second line"):
        assert words in caught.value.log


def test_an_error_without_words_says_its_kind() -> None:
    with pytest.raises(StageFailed, match=r"^RuntimeError: no message$"):
        stage.run("stage_jobs:wordless", type(None))


@pytest.mark.parametrize(("number", "kind"), [(errno.ENOSPC, BadInput), (errno.EACCES, BadInput), (errno.EIO, StageFailed)])
def test_a_full_disk_is_not_the_stage_s_fault(number: int, kind: type[EdgevitError]) -> None:
    with pytest.raises(EdgevitError, match=os.strerror(number).lower() if kind is BadInput else os.strerror(number)) as caught:
        stage.run("stage_jobs:os_error", type(None), number=number)
    assert type(caught.value) is kind and "/some/file" in caught.value.message


@pytest.mark.parametrize("job", ["stage_jobs:nothing", "no_such_module:job"])
def test_a_job_that_is_not_there(job: str) -> None:
    with pytest.raises(StageFailed):
        stage.run(job, int)


def test_much_output_neither_blocks_nor_floods() -> None:
    assert stage.run("stage_jobs:shout", int, megabytes=20).value == 20
    with pytest.raises(StageFailed) as caught:
        stage.run("stage_jobs:shout", int, megabytes="many")
    assert len(caught.value.log) <= stage.LOG_TAIL


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("abort", "die died: SIGABRT"),
        ("SIGSEGV", "die died: SIGSEGV"),
        ("SIGKILL", "die died: SIGKILL, perhaps out of memory"),
        ("exit", "die died: exit code 3"),
        ("exit in words", "die died: exit code 1"),
    ],
)
def test_a_crash_names_its_cause_and_others_go_on(how: str, words: str) -> None:
    with pytest.raises(StageCrashed) as caught:
        stage.run("stage_jobs:die", type(None), how=how)
    assert caught.value.message == words and "last words" in caught.value.log
    assert ("the reason" in caught.value.log) == (how == "exit in words")
    assert stage.run("stage_jobs:number", float, value=1.0).value == 1.0


def test_a_name_that_is_not_utf_8_is_refused_before_a_child_is_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "Popen", lambda *_, **__: pytest.fail("a child was started"))
    with pytest.raises(BadInput, match="not a name in UTF-8: caf\udce9"):
        stage.run("stage_jobs:noun", Exported, folder=Path(os.fsdecode(b"caf\xe9.png")), numbers=(), outcome=Outcome.PASS)


def test_a_crash_after_the_result_is_none() -> None:
    assert stage.run("stage_jobs:crash_at_exit", int).value == 7


@pytest.mark.timeout(60)
def test_a_thread_that_never_ends_holds_nothing_up() -> None:
    assert stage.run("stage_jobs:leave_a_thread", int).value == 8


@ON_LINUX
@pytest.mark.parametrize("how", ["python", "native"])
@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_the_child_ends_with_the_call(
    tmp_path: Path, error: type[BaseException], how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever leaves `run`, as Ctrl-C does, leaves no child behind."""
    flag = tmp_path / "flag"

    def interrupted(*_: object) -> None:
        _until(flag.exists)
        raise error

    monkeypatch.setattr(stage, "_listen", interrupted)
    with pytest.raises(error):
        stage.run("stage_jobs:sleep", type(None), flag=flag, how=how)
    assert _gone(int(flag.read_text()))


PARENT = """
import pathlib, sys
sys.path.insert(0, sys.argv[1])
from edgevit import stage, warm
if sys.argv[4] == "warm":
    warm.JOBS = ("stage_jobs:sleep",)
stage.run("stage_jobs:sleep", type(None), flag=pathlib.Path(sys.argv[2]), how=sys.argv[3])
"""


@ON_LINUX
@pytest.mark.parametrize("how", ["python", "native"])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_the_child_dies_with_its_parent(tmp_path: Path, how: str, number: signal.Signals, begun: str) -> None:
    flag = tmp_path / "flag"
    with subprocess.Popen([sys.executable, "-c", PARENT, str(JOBS), str(flag), how, begun]) as parent:
        _until(flag.exists)
        child = int(flag.read_text())
        try:
            assert not _gone(child)
            parent.send_signal(number)
            parent.wait(30)
            _until(lambda: _gone(child), 20)
        finally:
            parent.kill()
            if not _gone(child):
                os.kill(child, signal.SIGKILL)


@pytest.mark.parametrize("how", ["return", "abort"])
def test_what_a_library_leaves_behind_goes_with_the_child(tmp_path: Path, how: str) -> None:
    note = tmp_path / "note"
    with contextlib.suppress(StageCrashed):
        stage.run("stage_jobs:litter", type(None), note=note, how=how)
    assert note.read_text() and not Path(note.read_text()).exists()


@ON_LINUX
def test_peak_memory_is_the_child_s_own(begun: str) -> None:
    """What the parent holds does not count, what the child holds does."""
    if begun == "warm":
        _until(lambda: stage.run("stage_jobs:imported", bool, names=warm.LATER).value)
    ours = b"x" * (400 << 20)
    small = stage.run("stage_jobs:hold", int, megabytes=1).peak_bytes
    large = stage.run("stage_jobs:hold", int, megabytes=300).peak_bytes
    assert 1 << 20 < small < (400 if begun == "warm" else 200) << 20
    assert 290 << 20 < large - small < 340 << 20
    del ours


def test_a_folder_of_the_user_s_is_no_library(tmp_path: Path) -> None:
    """Files in the working directory that are named as modules are never imported by the installed program."""
    for name in ("json", "signal", "msgspec", "targets", "numpy", "edgevit"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('imported from the working directory')\n")
    program = f"import sys; sys.path[:] = {[p for p in sys.path if p]!r}\n" + (
        "from edgevit import stage\nsys.stdout.write(str(stage.run('stage_jobs:number', float, value=4.0).value))"
    )
    command = [sys.executable, "-P", "-c", program]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert (ran.returncode, ran.stdout) == (0, "4.0"), ran.stderr
