"""What a Mac says of itself, as its programs print it."""

from __future__ import annotations

import pytest

from targets.devices.apple import conditions as apple_conditions


def test_a_mac_says_what_it_can(monkeypatch: pytest.MonkeyPatch) -> None:
    said = {"machdep.cpu.brand_string": "Apple M2\n", "hw.memsize": "17179869184\n"}
    monkeypatch.setattr(apple_conditions, "_said", lambda *command: said.get(command[-1], ""))
    facts = apple_conditions.facts()
    assert (facts.name, facts.memory) == ("Apple M2", 16 << 30)
    now = apple_conditions.now(0.0)
    assert now.governor == "" and now.mhz is None and now.celsius is None and now.busy is None


def test_limits_of_the_processor_are_repeated_and_nothing_else() -> None:
    note = "Note: No thermal warning level has been recorded\nNote: No performance warning level has been recorded\n"
    power = "CPU Power notify\n\tCPU_Scheduler_Limit \t= 100\n\tCPU_Available_CPUs \t= 8\n\tCPU_Speed_Limit \t= 80\n"
    assert apple_conditions.governor(note) == ""
    assert apple_conditions.governor(note + power) == "CPU_Scheduler_Limit 100, CPU_Available_CPUs 8, CPU_Speed_Limit 80"
    assert apple_conditions.governor("\0= 1\n" + "A = 9999999999\n") == ""


def test_a_program_that_is_not_there_says_nothing() -> None:
    assert apple_conditions._said("edgevit-no-such-program") == apple_conditions._said("false") == ""
