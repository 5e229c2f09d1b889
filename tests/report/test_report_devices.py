"""What was measured device by device, what it cost where, what is missing and why, and how to do it again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from edgevit.report import absent, delegation, html, markdown, measured, page, places, repeat
from edgevit.types import BlockTime, Conditions, DeviceFacts, Latency, OperatorTime, Profile, Report, Unit

Timed = Callable[..., Latency]


def gaps(report: Report) -> dict[str, list[tuple[str, str]]]:
    found: dict[str, list[tuple[str, str]]] = {}
    for one in absent.build(report):
        found.setdefault(one.what, []).append((one.whose, one.why))
    return found


def test_host_evaluator_and_devices_are_places_of_their_own(benched: Report, timed: Timed) -> None:
    evaluated = timed("coreml-int8", 1.0, where="reference", device="local", machine=benched.machine)
    other = timed("executorch-fp32", 1.0, where="host", device="local", machine="A server")
    found = places.places(replace(benched, latencies=(*benched.latencies, evaluated, other)))
    assert [(place.name, len(place.latencies)) for place in found] == [
        ("this machine (host)", 3),
        ("Some phone 9 (device)", 7),
        ("A board (device)", 0),
        ("Somebody's laptop, 8 cores, Linux (reference evaluator)", 1),
        ("A server (host)", 1),
    ]


def test_a_bench_of_another_machine_keeps_its_facts(benched: Report) -> None:
    """Its report may be written elsewhere; that machine is not the one that was measured."""
    found = places.places(replace(benched, machine="A server"))
    assert found[0].name == found[0].heading == "Somebody's laptop (host)"
    assert (len(found[0].latencies), found[0].facts) == (3, benched.devices[0])
    assert "this machine (host)" not in [place.name for place in found]


def test_two_phones_of_one_name_are_told_apart(report: Report, timed: Timed) -> None:
    twins = tuple(DeviceFacts(spec, "A phone") for spec in ("adb:1", "adb:2"))
    found = places.places(replace(report, devices=twins, latencies=(timed("executorch-fp32", 2.0, device="adb:2"),)))
    assert [(place.name, len(place.latencies)) for place in found] == [
        ("A phone (device), adb:1", 0),
        ("A phone (device), adb:2", 1),
    ]


def test_a_table_for_each_place_the_lowest_median_first(benched: Report) -> None:
    host, phone = measured.build(benched)
    assert [row[0] for row in host.rows] == [
        "litert-int8 (CPU, 4 threads)",
        "executorch-int8 (CPU, 4 threads)",
        "executorch-fp32 (CPU, 4 threads)",
    ]
    assert host.notes == ("litert-int8 cannot be told from executorch-int8",)
    assert phone.rows[1] == (
        "litert-int8 (GPU)",
        "6.08 ms (5.97 ms to 6.18 ms)",
        "6.21 / 6.30 ms",
        "41.0 / 12.0 ms, 12.0 ms",
        "37.0 MB (24.0 MB before the model)",
        "120 in 6 launches, after 10 untimed",
        "right: 100 images, 99.0 % as the checkpoint",
    )
    assert phone.rows[0][-1] == "WRONG_ANSWERS: 9 of 100 differ"
    assert phone.rows[3][-1] == "not asked: no images were asked for"
    assert "executorch-int8: under load, p50 9.00 ms at first and 13.5 ms after 2.8 min, from 35 to 52 °C" in phone.notes


def test_a_tool_that_tells_little_leaves_no_blank(report: Report, timed: Timed) -> None:
    bare = Latency("executorch-int8", "device", 4.0, runs=50, device="adb:1", noise="a mean of one launch")
    (found,) = measured.build(replace(report, latencies=(bare,)))
    assert found.rows[0][1:5] == (
        "4.00 ms (no interval)",
        "not measured: no single runs are told",
        "not measured: nothing was launched for it",
        "not measured: nothing was launched for it",
    )
    assert found.notes == ("executorch-int8: its interval is not narrow: a mean of one launch",)


def test_what_may_have_been_in_memory_is_not_called_cold(timed: Timed) -> None:
    found = timed("executorch-int8", 4.0)
    kept = replace(found, launches=tuple(replace(launch, dropped=False) for launch in found.launches))
    assert measured._load(kept).endswith("(cold: the file may have been in memory)")
    assert measured._load(found) == "41.0 / 12.0 ms, 8.05 ms"


def test_energy_stands_where_it_is_told(timed: Timed) -> None:
    found = timed("executorch-int8", 4.0)
    told = replace(found, launches=tuple(replace(launch, joules=0.5) for launch in found.launches))
    assert measured._runs(told).endswith("; 25 mJ an image") and "mJ" not in measured._runs(found)


def test_a_kept_profile_gives_the_cost_of_what_is_outside(benched: Report) -> None:
    found = {cost.artifact: cost for cost in delegation.build(benched)}
    assert "coreml-int4" not in found, "nothing was made"
    profiled = found["executorch-int8"]
    assert profiled.taken == "1 subgraph, 310 nodes inside, 2 outside"
    shares = "83.3 % of it in the delegate, 11.1 % in operators outside"
    assert profiled.said.startswith(f"9.00 ms in all, the median of 50 runs: {shares}")
    assert profiled.rows == (
        ("xnnpack delegate (3)", "7.50 ms (83.3 %)", "delegate"),
        ("native_layer_norm (25)", "1.00 ms (11.1 %)", "ExecuTorch"),
        ("in no operator", "0.50 ms (5.6 %)", "neither"),
    )
    assert found["executorch-fp32"].said == "not measured: edgevit profile ARTIFACT --keep"
    assert found["litert-int8"].said.startswith("not measured: litert tells no times by operator")


def test_the_cost_of_each_block_stands_below_that_of_the_operators(benched: Report) -> None:
    parts = (BlockTime("before the blocks", 7, 0.5), BlockTime("block 0", 42, 3.0), BlockTime("block 1 <b>and</b>", 55, 4.5))
    kept = replace(benched.profiles["executorch-int8"], blocks=parts)
    changed = replace(benched, profiles={"executorch-int8": kept})
    built = page.build(changed)
    (cost,) = [one for one in built.delegation if one.blocks]
    assert cost.blocks[1] == ("block 0 (42)", "3.00 ms (33.3 %)")
    text = html.render(built, changed)
    assert "Time by block of executorch-int8" in text and "<b>and</b>" not in text
    assert "| block 0 (42) | 3.00 ms (33.3 %) |" in markdown.render(built)
    assert "Time by block" not in html.render(page.build(benched), benched)


def test_a_long_profile_is_summed_up(benched: Report) -> None:
    operators = tuple(OperatorTime(f"op {i}", 1, 1.0, False) for i in range(20))
    long = replace(benched, profiles={"executorch-int8": Profile(20.0, 5, operators, True)})
    rows = delegation.build(long)[1].rows
    assert len(rows) == delegation.MOST + 2 and rows[-2] == ("8 other kinds (8)", "8.00 ms (40.0 %)", "both")


def test_everything_that_is_missing_says_why(benched: Report) -> None:
    found = gaps(benched)
    assert found["everything on A board (device)"] == [("every artifact", "it did not answer (is it switched on?)")]
    assert ("executorch-int8 on GPU", "the file has no GPU delegate") in found["latency on Some phone 9 (device)"]
    assert found["answers on Some phone 9 (device)"] == [("litert-int8 on CPU", "no images were asked for")]
    assert found["GPU on this machine (host)"] == [("every artifact", "asked for, and the report holds nothing of it")]
    assert found["sustained run"] == [("this machine (host)", "it was asked for, and the device gave none")]
    assert found["energy"] == [("this machine (host) and Some phone 9 (device)", "not told there")]
    assert found["accuracy"] == [("coreml-int4", "skipped")]
    assert found["answers of its own runtime"] == [("coreml-int8", "the reference evaluator answered in its place")]
    assert found["delegation"] == [("coreml-int8", "the device decides")]
    assert ("executorch-fp32", "edgevit profile ARTIFACT --keep") in found["time by operator"]
    assert found["evaluation"] == [("the checkpoint", "the report holds none")]
    assert "memory" not in found and "clock" not in found and "temperature" not in found
    assert all(one.why for one in absent.build(benched))


def test_a_report_of_times_alone_says_what_else_there_could_be(report: Report) -> None:
    found = gaps(report)
    for what in ("memory", "energy", "clock", "temperature", "load, cold and warm"):
        assert found[what] == [("this machine (host)", "nothing was launched for it: the record holds times alone")]
    assert found["interval of p50 on this machine (host)"] == [
        ("executorch-fp32, executorch-int8, litert-int8 and litert-int4", "it takes 6 launches, and there were 0")
    ]
    assert found["sustained run"] == [("this machine (host)", "none was asked for")]
    assert gaps(replace(report, latencies=()))["latency"] == [("every artifact", "the report holds no latency")]


def test_a_report_of_before_says_nothing_of_devices_that_it_does_not_have(report: Report) -> None:
    assert [device.place for device in repeat.devices(report)] == ["This machine (host)"]
    assert repeat.rules(report) == ()


def test_rules_devices_and_conditions_are_there_to_repeat_it(benched: Report) -> None:
    rules = {fact.name: fact.value for fact in repeat.rules(benched)}
    assert rules["Launches"] == (
        "6 to 20 of each artifact, in turn, in an order drawn with seed 0, "
        "until every interval is within 2 % of its median, or 10.0 min are over"
    )
    assert rules["Runs"] == "at least 100 timed in all, each launch after 10 untimed"
    assert (rules["Units"], rules["Sustained run"]) == ("CPU, GPU", "3.0 min")
    _, phone, board = repeat.devices(benched)
    facts = {fact.name: fact.value for fact in phone.facts}
    assert facts["Runtimes"] == "benchmark_model 2.19" and facts["System"] == "Android 15"
    assert facts["Clock"] == "2250 to 2400 MHz" and facts["Governor"] == "schedutil"
    assert facts["Temperature"] == "34 °C before, 40 °C after, 40 °C at most"
    assert facts["Noise"] == "none: every interval is narrow"
    assert "Not measured" not in facts
    assert {fact.name: fact.value for fact in board.facts}["Not measured"] == "it did not answer (is it switched on?)"
    assert "not measured: nothing was launched" in [fact.value for fact in board.facts]


def test_conditions_that_nobody_told_say_so(report: Report, timed: Timed) -> None:
    found = timed("executorch-int8", 4.0)
    silent = tuple(replace(launch, before=Conditions(0.0), after=None) for launch in found.launches)
    (device,) = repeat.devices(replace(report, latencies=(replace(found, launches=silent),)))
    told = {fact.name: fact.value for fact in device.facts}
    assert [told[name] for name in ("Clock", "Governor", "Temperature")] == ["not told"] * 3


def test_markdown_and_html_say_the_same(benched: Report) -> None:
    few = replace(benched, latencies=benched.latencies[6:])
    built = page.build(few)
    text, source = markdown.render(built), html.render(built, few)
    told = [answer.headline for answer in built.ship] + [cell for one in built.measured for row in one.rows for cell in row]
    told += [one.why for one in built.absent] + [fact.value for device in built.devices for fact in device.facts]
    for sentence in told:
        assert markdown.escape(sentence) in text, sentence
        assert sentence.replace("'", "&#39;") in source, sentence


def test_one_artifact_on_two_units_has_a_line_for_each(benched: Report) -> None:
    (row,) = [row for row in page.build(benched).rows if row.name == "litert-int8"]
    lines = [line.text for line in row.cells[-1].lines]
    assert lines[0::3] == ["4.07 / 4.17 / 5.95 ms", "12.0 / 12.3 / 18.0 ms", "6.08 / 6.21 / 6.30 ms"]
    assert lines[1::3] == ["this machine (host), CPU", "Some phone 9 (device), CPU", "Some phone 9 (device), GPU"]


def test_units_are_named_only_where_they_tell_apart(benched: Report, timed: Timed) -> None:
    phone = places.places(benched)[1].latencies
    assert [places.named(one, phone) for one in phone[:4]] == [
        "executorch-fp32", "executorch-int8 on CPU", "litert-int8 on CPU", "litert-int8 on GPU",
    ]  # fmt: skip
    pair = tuple(timed("x", 1.0, threads=threads, unit=Unit.CPU) for threads in (1, 2))
    assert [places.named(one, pair) for one in pair] == ["x, 1 thread", "x, 2 threads"]
