"""The three files: written together, read back equal, and light to import."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from edgevit import record
from edgevit import report as reports
from edgevit.errors import BadInput, DamagedFile
from edgevit.jobs import report as job
from edgevit.report import files
from edgevit.types import Conditions, Gallery, Latency, Moment, OperatorTime, Picture, Profile, Report, TrainConfig


def without_folders(report: Report) -> Report:
    artifacts = tuple(replace(artifact, folder=Path()) for artifact in report.artifacts)
    return replace(report, checkpoint=replace(report.checkpoint, folder=Path()), artifacts=artifacts)


def test_three_files(written: Path) -> None:
    assert {file.name for file in written.iterdir()} == {"report.json", "report.md", "report.html"}


def test_the_record_reads_back_equal(report: Report, written: Path) -> None:
    assert record.read(written / "report.json", Report) == without_folders(report)


def test_the_record_holds_no_folder_of_this_machine(written: Path) -> None:
    assert "/home/somebody" not in (written / "report.json").read_text()


def test_paths_of_this_machine_keep_their_last_part(report: Report, tmp_path: Path) -> None:
    train = TrainConfig("/home/somebody/my pets", start="/home/somebody/runs/start", teacher="/home/somebody/teacher")
    seen = Gallery(
        (Picture("Distance", "over 12 images (/home/somebody/my pets)", "data:,", "data:,"),), ("no /home/somebody/my pets",)
    )
    checkpoint = replace(report.checkpoint, train=train)
    reports.write(replace(report, checkpoint=checkpoint, inside=seen, evaluated=seen), tmp_path)
    for name in ("report.json", "report.md", "report.html"):
        text = (tmp_path / name).read_text()
        assert "/home/somebody" not in text and "my pets" in text and "teacher" in text, name
    again = record.read(tmp_path / "report.json", Report).checkpoint.train
    assert again and (again.data, again.start, again.teacher) == ("my pets", "start", "teacher")


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        (
            "timm weights of /home/me/my models/vit.bin with the config.json beside it; heads by --heads",
            "timm weights of vit.bin with the config.json beside it; heads by --heads",
        ),
        ("timm weights of timm/deit_tiny@abc; mean by timm/x", "timm weights of timm/deit_tiny@abc; mean by timm/x"),
        ("/vit.npz", "vit.npz"),
        ("", ""),
    ],
)
def test_where_weights_came_from_without_folders(report: Report, source: str, shown: str) -> None:
    theirs = replace(report, checkpoint=replace(report.checkpoint, train=None, source=source))
    assert files.portable(theirs).checkpoint.source == shown


@pytest.mark.parametrize("data", ["digits", "hf:mnist", "pets"])
def test_a_name_of_data_stays(report: Report, data: str) -> None:
    named = replace(report, checkpoint=replace(report.checkpoint, train=TrainConfig(data)))
    assert files.portable(named).checkpoint.train == TrainConfig(data)


def test_a_latency_that_names_a_folder_finds_its_artifact(report: Report, tmp_path: Path) -> None:
    """As `bench` measures them: the artifact's folder as it was given, whatever it is called."""
    here = replace(report.artifacts[0], folder=Path("/home/somebody/renamed"))
    named = replace(report.latencies[0], artifact="/home/somebody/renamed")
    stray = replace(report.latencies[1], artifact="/home/somebody/elsewhere")
    reports.write(replace(report, artifacts=(here,), latencies=(named, stray)), tmp_path)
    text = (tmp_path / "report.md").read_text()
    assert "8.12 / 8.62 / 10.1 ms" in text
    assert "a latency of elsewhere belongs to no artifact" in text
    assert "/home/somebody" not in text + (tmp_path / "report.json").read_text()


def test_a_report_read_back_gives_the_same_pages(written: Path, tmp_path: Path) -> None:
    reports.write(record.read(written / "report.json", Report), tmp_path / "again")
    for name in ("report.md", "report.html", "report.json"):
        assert (tmp_path / "again" / name).read_bytes() == (written / name).read_bytes(), name


def test_a_loss_that_diverged_leaves_a_record_that_can_be_read(report: Report, tmp_path: Path) -> None:
    diverged = ({"epoch": 1.0, "loss": 2.0}, {"epoch": 2.0, "loss": float("nan")})
    reports.write(replace(report, curve=diverged), tmp_path)
    assert record.read(tmp_path / "report.json", Report).curve == ({"epoch": 1.0, "loss": 2.0}, {"epoch": 2.0})


def test_what_a_device_tells_that_is_no_number_is_not_told(report: Report, timed: Callable[..., Latency], tmp_path: Path) -> None:
    nan = float("nan")
    found = timed("executorch-int8", 4.0)
    first = replace(found.launches[0], times_ms=(4.0, nan, 5.0), joules=nan, before=Conditions(nan), after=Conditions(1.0, nan))
    moments = (Moment(1, nan, Conditions(0.0)), Moment(1, 4.0, Conditions(nan)), Moment(1, 4.0, Conditions(1.0, celsius=nan)))
    odd = replace(found, p99_ms=float("inf"), launches=(first, *found.launches[1:]), sustained=moments)
    reports.write(replace(report, latencies=(odd,)), tmp_path)
    (again,) = record.read(tmp_path / "report.json", Report).latencies
    assert again.p99_ms is None and again.sustained == (Moment(1, 4.0, Conditions(1.0)),)
    assert again.launches[0] == replace(first, times_ms=(4.0, 5.0), joules=None, before=None, after=Conditions(1.0))
    assert "nan" not in (tmp_path / "report.md").read_text().lower().split()


def test_a_kept_profile_is_read_and_a_damaged_one_is_refused(report: Report, tmp_path: Path) -> None:
    kept = Profile(9.0, 50, (OperatorTime("conv", 1, 3.0, False),), True)
    record.write(tmp_path / "profile.json", kept)
    here = replace(report.artifacts[0], folder=tmp_path, files={"profile.json": "ab" * 32})
    without = replace(report.artifacts[1], folder=tmp_path)
    assert job._profiles([here, without]) == {"executorch-fp32": kept}
    (tmp_path / "profile.json").write_text("[]")
    with pytest.raises(DamagedFile, match="profile"):
        job._profiles([here])


def test_an_empty_report_still_writes(report: Report, tmp_path: Path) -> None:
    reports.write(replace(report, artifacts=(), latencies=(), samples=(), curve=()), tmp_path)
    text = (tmp_path / "report.md").read_text()
    assert "Nothing was exported" in text
    assert "the report holds no sample images" in text
    assert "the accuracy of no artifact was measured" in (tmp_path / "report.html").read_text()
    assert json.loads((tmp_path / "report.json").read_text())["artifacts"] == []


def test_a_place_that_cannot_be_written_is_a_plain_error(report: Report, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    with pytest.raises(BadInput, match="taken"):
        reports.write(report, tmp_path / "taken")


def test_importing_the_room_loads_nothing_heavy() -> None:
    code = "import sys, edgevit.report; print([m for m in ('matplotlib', 'jinja2', 'numpy', 'torch') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
