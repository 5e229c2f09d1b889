"""Children that are forked from a process that has torch: what they have of it, and what comes in their place."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from edgevit import stage, warm

JOBS = Path(__file__).parent / "sabotage"
JOB = "stage_jobs:surroundings"
pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="nothing is forked elsewhere")


@pytest.fixture(autouse=True)
def jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(JOBS))
    monkeypatch.setattr(warm, "JOBS", (JOB,))


def surroundings() -> dict[str, str]:
    return stage.run(JOB, dict[str, str]).value


def printed(program: str) -> str:
    """What a program prints that says nothing else. Its jobs begin warm."""
    before = f"import signal, sys; sys.path.insert(0, {str(JOBS)!r}); from edgevit import stage, warm; warm.JOBS = ({JOB!r},)\n"
    ran = subprocess.run([sys.executable, "-c", before + program], capture_output=True, text=True, timeout=120, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")
    return ran.stdout.strip()


def test_a_child_has_torch_and_what_its_parent_has_now(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    surroundings()
    monkeypatch.setenv("A_VARIABLE", "of now")
    monkeypatch.chdir(tmp_path)
    parents = set()
    for threads in ("1", "2", "1"):
        monkeypatch.setenv("OMP_NUM_THREADS", threads)
        found = surroundings()
        assert found["torch"] == "True" and found["A_VARIABLE"] == "of now" and found["folder"] == str(tmp_path)
        assert found["threads"] == threads, "what is read by an import is read by another"
        parents.add(found["parent"])
    assert len(parents) == 2 and str(os.getpid()) not in parents


def test_where_none_can_be_forked_one_begins_cold(monkeypatch: pytest.MonkeyPatch) -> None:
    """And no other nursery is tried after one that is over."""
    monkeypatch.setenv("TORCH_OF_THIS_TEST", "another nursery")
    with monkeypatch.context() as patch:
        patch.setattr(warm, "PROGRAM", "raise SystemExit('there is no torch here')")
        assert surroundings()["parent"] == str(os.getpid())
    assert surroundings()["parent"] == str(os.getpid())


def test_a_variable_without_a_name_begins_cold() -> None:
    """Some shells leave one, and no program can unset it."""
    assert warm.fork({"": "value"}, 1, 2) is None


def test_where_the_end_of_children_is_ignored() -> None:
    """As some supervisors leave it to what they start."""
    program = f"""
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
print(len({{stage.run({JOB!r}, dict[str, str]).value['parent'] for _ in range(3)}}))
"""
    assert printed(program) == "1"


def test_what_is_imported_before_a_fork_asks_for_no_gpu() -> None:
    """No child could ask for it any more."""
    program = """
import importlib, torch
asked = []
for name in ('is_available', 'device_count', 'init', 'current_device', 'get_device_capability'):
    setattr(torch.cuda, name, lambda *_, name=name: asked.append(name))
for name in warm.LATER: importlib.import_module(name)
print(asked, torch.cuda.is_initialized())
"""
    assert printed(program) == "[] False"


def test_the_nursery_goes_with_its_parent() -> None:
    nursery = Path("/proc") / printed(f"print(stage.run({JOB!r}, dict[str, str]).value['parent'])") / "stat"
    deadline = time.monotonic() + 20
    while nursery.exists() and nursery.read_text().rpartition(")")[2].split()[0] != "Z":
        assert time.monotonic() < deadline
        time.sleep(0.05)
