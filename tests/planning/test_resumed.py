"""A plan from end to end without a back end: what is made and measured, kept, and not done again; stages run in this process."""

from __future__ import annotations

import dataclasses
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from synthetic import timed

from edgevit import folder, pipeline, record
from edgevit.errors import BadInput, DeviceFault, EdgevitError, StageCrashed
from edgevit.jobs import plan as jobs
from edgevit.pipeline import planning
from edgevit.planning import kept as keeping
from edgevit.planning.grid import Grid, candidates, chosen
from edgevit.planning.kept import Kept
from edgevit.stage import Finished
from edgevit.types import (
    Asked,
    BenchRules,
    Candidate,
    Converted,
    Design,
    DeviceFacts,
    Launch,
    Model,
    Plan,
    PlanBudget,
    Unit,
    silent,
)
from targets.devices import PLAIN

GRID = Grid(("Nano", "Ti"), (16, 32), (96, 160, 224), (4, 8, 12), (("tflite", "fp32"),))
DESIGN = Design(12, 4)
RULES = BenchRules(runs=3, warmup=1, launches=3, most_launches=3, images=0, units=(Unit.CPU,))
CHOSEN = [one for part in chosen(candidates(GRID), DESIGN) for one in part]
BY_NAME = {one.name: one for one in CHOSEN}


class Made:
    """A device whose launches take what a law says; `fault` may raise before one."""

    def __init__(self, spec: str, fault: Callable[[str, int], None] = lambda *_: None) -> None:
        self.facts, self.fault = DeviceFacts(spec), fault
        self.launched: Counter[str] = Counter()

    def units(self, model: Model) -> tuple[Unit, ...]:
        return (Unit.CPU,)

    def send(self, model: Model, progress: object) -> None:
        assert model.file.read_bytes()

    def launch(self, model: Model, asked: Asked) -> Launch:
        self.fault(model.artifact, sum(self.launched.values()))
        self.launched[model.artifact] += 1
        return Launch(times_ms=(timed(BY_NAME[model.artifact], 0.01).p50_ms or 0.0,) * asked.runs, runs=asked.runs)

    def close(self, keep: bool = False) -> None:
        pass


@dataclasses.dataclass
class Workshop:
    """What the stages do here: files of a few bytes, and devices that are made up. `broken` crash their process."""

    devices: dict[str, Made]
    converted: list[Candidate] = dataclasses.field(default_factory=list)
    broken: tuple[Candidate, ...] = ()

    def run(self, children: object, job: str, returns: type, progress: object, **given: Any) -> Finished:
        name = job.rpartition(":")[2]
        return Finished(getattr(self, name)(**given), 0.0, 0)

    def convert(self, candidates: list[Candidate], into: Kept, seed: int) -> int:
        for one in candidates:
            if one in self.broken:
                raise StageCrashed("convert died: SIGSEGV")
            self.converted.append(one)
            with folder.written_whole(into.place(one), keeping.RECORD, force=True) as partial:
                (partial / "model.tflite").write_text(one.name)
                size = timed(one).bytes
                record.write(
                    partial / keeping.RECORD,
                    Converted(one, "model.tflite", size, folder.sha256(partial / "model.tflite")),
                )
        return len(candidates)

    def measure(self, wanted: list[Candidate], into: Kept, device: str, where: str, rules: BenchRules, access: object) -> Any:
        return jobs.measured_on(self.devices[device], tuple(wanted), into, where, rules, silent)

    def conclude(self, **given: Any) -> Plan:
        return jobs.conclude(**given, progress=silent)


@pytest.fixture
def workshop(monkeypatch: pytest.MonkeyPatch) -> Workshop:
    found = Workshop({"local": Made("local"), "ssh://pi@one": Made("ssh://pi@one")})
    monkeypatch.setattr("edgevit.stage.Children.run", lambda *args, **given: found.run(*args, **given))
    return found


def planned(out: Path, specs: tuple[str, ...] = ("local",), budget: PlanBudget = PlanBudget(), **more: Any) -> Plan:  # noqa: B008
    return pipeline.plan(GRID, DESIGN, budget, RULES, specs, out, more.pop("force", False), silent, PLAIN, **more)


def test_a_plan_is_made_and_written(workshop: Workshop, tmp_path: Path) -> None:
    made = planned(tmp_path / "plan", budget=PlanBudget(p50_ms=5.0))
    assert record.read(tmp_path / "plan" / keeping.PLAN, Plan) == made
    assert (tmp_path / "plan" / keeping.PICTURE).read_bytes().startswith(b"\x89PNG")
    assert not (tmp_path / "plan" / keeping.FILES).exists()
    (device,) = made.devices
    assert len(device.points) == 16 and device.held_out_error is not None and device.held_out_error < 0.1
    assert {point.measured.candidate for point in device.points if point.held_out} == set(chosen(candidates(GRID), DESIGN)[1])
    assert 0 < len(made.choices) < made.candidates and made.choices[0].estimates[0].p50_ms <= 5.0
    assert workshop.devices["local"].launched == dict.fromkeys(BY_NAME, 3)


def test_what_is_interrupted_goes_on(workshop: Workshop, tmp_path: Path) -> None:
    def stop(name: str, number: int) -> None:
        if number == 30:  # in the second group of eight
            raise KeyboardInterrupt

    workshop.devices["local"] = Made("local", stop)
    with pytest.raises(KeyboardInterrupt):
        planned(tmp_path)
    assert not (tmp_path / keeping.PLAN).exists() and len(list((tmp_path / keeping.MEASURED).iterdir())) == 8
    again = workshop.devices["local"] = Made("local")
    made = planned(tmp_path)
    assert len(workshop.converted) == len(CHOSEN)
    assert len(again.launched) == 8 and len(made.devices[0].points) == 16


def test_a_finished_plan_is_refused_and_forced_from_what_was_measured(workshop: Workshop, tmp_path: Path) -> None:
    first = planned(tmp_path)
    with pytest.raises(BadInput, match="already exists"):
        planned(tmp_path)
    workshop.devices["local"] = Made("local", lambda *_: pytest.fail("measured again"))
    narrow = planned(tmp_path, budget=PlanBudget(p50_ms=2.0), force=True)
    assert narrow.devices[0].models == first.devices[0].models and len(narrow.choices) < len(first.choices)
    assert len(workshop.converted) == len(CHOSEN)


def test_what_is_damaged_is_done_again(workshop: Workshop, tmp_path: Path) -> None:
    planned(tmp_path, keep_files=True)
    files, measured = sorted((tmp_path / keeping.FILES).iterdir()), sorted((tmp_path / keeping.MEASURED).iterdir())
    (files[0] / "model.tflite").write_text("another")
    (files[1] / keeping.RECORD).write_text("{")
    for file in measured:
        file.write_bytes(file.read_bytes()[:-20])
    (tmp_path / keeping.MEASURED / f".{measured[0].name}.1.partial").write_text("{")
    planned(tmp_path, force=True)
    assert len(workshop.converted) == len(CHOSEN) + 2
    assert workshop.devices["local"].launched == dict.fromkeys(BY_NAME, 6)


def test_a_measurement_is_not_anothers(workshop: Workshop, tmp_path: Path) -> None:
    """Of a file that was put under another's name."""
    planned(tmp_path, keep_files=True)
    one, other = sorted((tmp_path / keeping.MEASURED).iterdir())[:2]
    one.write_bytes(other.read_bytes())
    planned(tmp_path, force=True)
    assert sorted(workshop.devices["local"].launched.values()) == [3] * 15 + [6]


def test_two_devices_are_measured_each_by_itself(workshop: Workshop, tmp_path: Path) -> None:
    made = planned(tmp_path, ("local", "ssh://pi@one", "local"))
    assert [device.device.spec for device in made.devices] == ["local", "ssh://pi@one"]
    assert all(len(choice.estimates) == 2 for choice in made.choices) and len(workshop.converted) == len(CHOSEN)
    assert all(made.launched == dict.fromkeys(BY_NAME, 3) for made in workshop.devices.values())


def test_one_that_crashes_its_converter_is_left_out(workshop: Workshop, tmp_path: Path) -> None:
    workshop.broken = (CHOSEN[2],)
    made = planned(tmp_path)
    (failed,) = made.devices[0].failed
    assert failed.candidate == CHOSEN[2] and "SIGSEGV" in failed.reason and len(made.devices[0].points) == 15


def test_one_that_breaks_on_the_device_is_left_out_and_not_kept(workshop: Workshop, tmp_path: Path) -> None:
    def fault(name: str, number: int) -> None:
        if name == CHOSEN[0].name:
            raise DeviceFault("it broke")

    workshop.devices["local"] = Made("local", fault)
    made = planned(tmp_path)
    assert [(one.candidate, one.reason) for one in made.devices[0].failed] == [(CHOSEN[0], "it broke")]
    assert len(list((tmp_path / keeping.MEASURED).iterdir())) == 15


@pytest.mark.parametrize("nonsense", [0.0, -1.0, float("nan"), float("inf")])
def test_times_that_are_none_are_not_believed(workshop: Workshop, tmp_path: Path, nonsense: float) -> None:
    class Odd(Made):
        def launch(self, model: Model, asked: Asked) -> Launch:
            told = super().launch(model, asked)
            return dataclasses.replace(told, times_ms=(nonsense,)) if model.artifact == CHOSEN[0].name else told

    workshop.devices["local"] = Odd("local")
    (device,) = planned(tmp_path).devices
    assert [(one.candidate, one.reason) for one in device.failed] == [(CHOSEN[0], "it told no times")]


def test_a_file_that_is_not_whole_is_left_out(workshop: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = Kept.converted
    monkeypatch.setattr(Kept, "converted", lambda kept, one: None if one == CHOSEN[1] else whole(kept, one))
    (device,) = planned(tmp_path).devices
    assert [(one.candidate, one.reason) for one in device.failed] == [(CHOSEN[1], "its file is not whole")]


def test_a_device_on_which_nothing_runs_makes_no_plan(workshop: Workshop, tmp_path: Path) -> None:
    def fault(name: str, number: int) -> None:
        raise DeviceFault("no such runtime")

    workshop.devices["local"] = Made("local", fault)
    with pytest.raises(EdgevitError, match="too few candidates could be measured on local: no such runtime"):
        planned(tmp_path)
    assert not (tmp_path / keeping.PLAN).exists()


def test_a_folder_of_others_is_left_alone(workshop: Workshop, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(BadInput, match=r"more than a plan: notes\.txt"):
        planned(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"] and not workshop.converted


def test_recipes_that_look_at_images_are_refused() -> None:
    with pytest.raises(BadInput, match="looks at images"):
        planning.kinds(["tflite"], ["int4-g32"])
    with pytest.raises(BadInput, match="does not hold"):
        planning.kinds(["tflite"], ["fp16"])
