"""Figures as a table of 80 columns shows them. What was not measured says so, and why below the table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from edgevit.types import Analysis, Artifact, Delegation, EvalResult, Gain, Gains, Outcome, Paired, Profile, Target, Verified

ARTIFACT_COLUMNS = ("artifact", "outcome", "MB", "top-1", "diff", "same", "error", "outside", "run on")


def artifact_row(artifact: Artifact) -> list[str]:
    """Percents; `diff` is in points from the checkpoint, `same` are the images with its answer, `outside` counts nodes."""
    return [
        artifact.name,
        artifact.outcome.value,
        "none" if artifact.bytes is None else f"{artifact.bytes / 1e6:.2f}",
        _percent(artifact.top1),
        _change(artifact),
        _percent(artifact.agreement),
        "none" if artifact.relative_error is None else f"{artifact.relative_error:.0e}",
        "unknown" if artifact.delegation.outside is None else str(artifact.delegation.outside),
        artifact.where,
    ]


def left_out(target: Target) -> str:
    """Of one that `all` does not mean."""
    return f"all leaves {target.name} out: {target.by_name_only}; --target {target.name} makes it"


def reused(artifact: Artifact) -> str:
    """What of it was not done again, in brackets; empty where all was."""
    return f" (unchanged, reused: {', '.join(artifact.reused)})" if artifact.reused else ""


def _percent(fraction: float | None) -> str:
    return "none" if fraction is None else f"{100 * fraction:.2f}"


def _change(artifact: Artifact) -> str:
    if artifact.top1 is None or artifact.reference_top1 is None:
        return "none"
    return f"{100 * (artifact.top1 - artifact.reference_top1):+.2f}"


def artifact_notes(artifacts: Sequence[Artifact]) -> list[str]:
    """What the table has no room for: how many images, who stood in for whom, what went wrong."""
    notes = [f"{a.name}: {a.outcome.value}: {a.reason}" for a in artifacts if a.outcome is not Outcome.PASS]
    if counts := {a.images for a in artifacts if a.images}:
        splits = ", ".join(sorted({a.split for a in artifacts if a.images and a.split}))
        of = f" ({splits})" if splits else ""
        notes.append(
            f"top-1 and answers on {', '.join(map(str, sorted(counts)))} images{of}, beside the checkpoint on the same ones"
        )
    if whose := [a.name for a in artifacts if a.origin and a.images]:
        notes.append(f"beside the checkpoint in float that the one they were made from began from: {', '.join(whose)}")
    notes += [f"{a.name}: {parted(a.paired, a.images)}" for a in artifacts if a.paired and a.paired.lost + a.paired.won]
    if split := [a for a in artifacts if a.islands]:
        named = ", ".join(f"{a.name}: {len(a.islands)} ({a.islands[0].place or a.islands[0].name} first)" for a in split)
        notes.append(f"operators kept in float32, since their values do not fit into float16: {named}; --explain lists them")
    if whose := [a.name for a in artifacts if a.same_integers]:
        notes.append(f"same integers, scales and palettes as the recipe's, looked up in the file: {', '.join(whose)}")
    if whose := [f"{a.name} ({', '.join(a.reused)})" for a in artifacts if a.reused]:
        notes.append(f"unchanged since an earlier export, and reused from the cache: {', '.join(whose)}")
    notes += [f"{a.name}: {note}" for a in artifacts for note in a.notes]
    notes += [f"skipped, unreadable: {image}" for image in sorted({image for a in artifacts for image in a.skipped})]
    for runtime in sorted({f"{a.where}: {a.runtime}" for a in artifacts if a.runtime and a.where != "none"}):
        notes.append(f"run on {runtime}")
    return notes


def parted(paired: Paired, images: int) -> str:
    """Where right answers part from the checkpoint's, and what so many images can tell of it."""
    low, high = (f"{100 * end:+.2f}" for end in (paired.low, paired.high))
    top5 = ""
    if paired.top5 is not None and paired.reference_top5 is not None:
        top5 = f"; top-5 {100 * paired.top5:.2f} for {100 * paired.reference_top5:.2f}"
    return (
        f"{paired.lost} right answers lost, {paired.won} won: p = {paired.p:.2g} (McNemar, exact), 95 % interval of the change "
        f"{low} to {high} points{top5}; {images} images cannot show a change under {100 * paired.visible:.2g} points"
    )


REWRITE_COLUMNS = ("rewrite", "parts", "float64", "float32", "in place of")


def rewrite_rows(artifact: Artifact) -> list[list[str]]:
    """Each rewrite in its order, how many parts it replaced, and how far the logits then were from the checkpoint's."""
    return [[r.name, str(r.parts), f"{r.float64:.0e}", f"{r.float32:.0e}", r.replaces] for r in artifact.rewrites]


def rewrite_notes(artifacts: Sequence[Artifact]) -> list[str]:
    """Why each rewrite is the same function, once for all artifacts; and those that are not."""
    found = {rewrite.name: rewrite for artifact in artifacts for rewrite in artifact.rewrites}
    notes = [f"{name}: {'' if r.exact else 'NOT the same function: '}{r.why}" for name, r in found.items()]
    return notes + ["edgevit gains ARTIFACT measures what each of them gives on this machine"] * bool(notes)


ISLAND_COLUMNS = ("kept in float32", "operator", "of", "largest value")


def island_rows(artifact: Artifact) -> list[list[str]]:
    """Each operator that float16 is too small for, where it stands in the model, and the largest value that it met."""
    return [[i.name, i.operator, i.place, f"{i.largest:.3g}"] for i in artifact.islands]


PROFILE_COLUMNS = ("operator", "count", "ms", "share", "by")


def profile_rows(found: Profile) -> list[list[str]]:
    """Each kind of operator, and last what is in none; shares are percents of the whole run."""
    left = found.whole - sum(operator.milliseconds for operator in found.operators)
    rows = [(o.name, str(o.count), o.milliseconds, "delegate" if o.delegated else "ExecuTorch") for o in found.operators]
    rows.append(("in no operator", "", left, ""))
    return [[name, count, f"{ms:.3f}", f"{100 * ms / found.whole:.1f}", by] for name, count, ms, by in rows]


BLOCK_COLUMNS = ("block", "operators", "ms", "share")


def block_rows(found: Profile) -> list[list[str]]:
    return [[b.name, str(b.count), f"{b.milliseconds:.3f}", f"{100 * b.milliseconds / found.whole:.1f}"] for b in found.blocks]


def profile_notes(found: Profile) -> list[str]:
    notes = [f"median of {found.runs} runs, whole: {found.whole:.3f} ms"]
    return notes + ["operators within the delegate were not traced: each of its calls is one"] * (not found.traced)


GAIN_COLUMNS = ("left out", "time", "interval", "the delegate then takes")


def gain_rows(found: Gains) -> list[list[str]]:
    """The dearest to leave out first, those that could not be measured last."""
    order = sorted(found.gains, key=lambda one: -(one.ratio or 0.0))
    return [[one.rewrite, *_times(one), "not measured" if one.reason else _taken(one.delegation)] for one in order]


def _times(one: Gain) -> tuple[str, str]:
    if one.ratio is None:
        return "", ""
    return f"{one.ratio:.3f}", "none" if one.low is None or one.high is None else f"{one.low:.3f} to {one.high:.3f}"


def _taken(found: Delegation) -> str:
    if found.subgraphs is None:
        return found.reason
    parts = f"{found.subgraphs} subgraph{'' if found.subgraphs == 1 else 's'}"
    return parts if found.outside is None else f"{parts}, {found.outside} outside"


def gain_notes(found: Gains) -> list[str]:
    if found.p50_ms is None:
        return [f"{found.artifact} could not be measured: {found.reason or 'it told no times'}"]
    threads = "threads as the runtime chose" if found.threads is None else f"{found.threads} threads"
    notes = [f"with all: {found.p50_ms:.3g} ms, {_taken(found.delegation)}; {found.launches} launches of each in turn, {threads}"]
    notes += [f"{one.rewrite}: {one.reason}" for one in found.gains if one.reason]
    unsure = [one.rewrite for one in found.gains if one.low is not None and one.high is not None and one.low <= 1 <= one.high]
    if unsure:
        notes.append(f"cannot be told from no gain here: {', '.join(unsure)}")
    return [*notes, f"on {found.machine}: the host's times, and no phone's"]


DAMAGE_COLUMNS = ("layer", "KL", "flips", "kB", "raised: KL", "flips", "kB")
MIX_COLUMNS = ("step", "raised", "MB", "drop", "same", "bought", "keeps to it")
MANY = 12
"""Layers that a ranking names; --json and the picture have all of them."""


def damage_rows(found: Analysis) -> list[list[str]]:
    """The layers that cost most, worst first: KL in nats, images with another answer, size of the matrix, lower and higher."""
    worst = sorted(found.layers, key=lambda layer: layer.kl, reverse=True)[:MANY]
    return [
        [
            x.layer,
            f"{x.kl:.1e}",
            str(x.flips),
            f"{x.bytes / 1e3:.0f}",
            f"{x.high_kl:.1e}",
            str(x.high_flips),
            f"{x.high_bytes / 1e3:.0f}",
        ]
        for x in worst
    ]


def mix_rows(found: Analysis) -> list[list[str]]:
    """Each mix that was measured: how many layers were raised, its size, points lost, the share of the same answers.

    With it what it bought, the points and the bytes more than all in the lower form.
    """
    return [
        [
            s.step,
            str(s.raised),
            f"{s.bytes / 1e6:.2f}",
            f"{100 * s.drop:+.2f}",
            f"{100 * s.agreement:.2f}",
            f"{100 * (found.steps[0].drop - s.drop):+.2f} for {(s.bytes - found.steps[0].bytes) / 1e6:+.2f} MB" if i else "",
            "yes" if s.holds else "no",
        ]
        for i, s in enumerate(found.steps)
    ]


def damage_notes(found: Analysis) -> list[str]:
    shown = min(MANY, len(found.layers))
    notes = [f"the {shown} worst of {len(found.layers)} Linears, on {found.images} images of {found.source}"] * bool(shown)
    if found.steps:
        notes.append(f"mixes on {found.steps[0].images} images; raised: {', '.join(found.raised) or 'none'}")
    if found.file:
        what = f"{found.trained}, which learned to live with it," if found.trained else "the checkpoint"
        notes.append(f"next: edgevit export {what} with --recipe {found.file}, both in the folder of --out")
    return notes


FEW = 5
"""Classes and pairs that an evaluation names; --json has all of them."""


def evaluation(found: EvalResult) -> list[str]:
    """An evaluation in lines: the shares, the classes that are answered worst, and what is most taken for what."""
    interval = f"95 % interval {100 * found.low:.2f} to {100 * found.high:.2f}"
    lines = [f"top-1 {100 * found.top1:.2f} % of {found.images} images ({interval}), loss {found.loss:.4f}"]
    top5 = "" if found.top5 is None else f"top-5 {100 * found.top5:.2f} %, "
    if found.ece is not None:
        lines.append(f"{top5}expected calibration error {100 * found.ece:.2f} points")
    weakest = sorted((c for c in found.per_class if c.images), key=lambda c: c.right / c.images)[:FEW]
    named = ", ".join(f"{c.label}: {c.right} of {c.images}" for c in weakest)
    pairs = ", ".join(f"{p.truth} for {p.answer}: {p.images}" for p in found.confused[:FEW])
    return lines + [f"weakest classes: {named}"] * bool(named) + [f"most confused: {pairs}"] * bool(pairs)


VERIFIED_COLUMNS = ("artifact", "what", "holds", "found")


def verified_rows(found: Verified) -> list[list[str]]:
    words = {True: "yes", False: "no", None: "unknown"}
    return [[Path(found.artifact).name, one.what, words[one.holds], one.words] for one in found.looked]


RUNTIME_COLUMNS = ("runtime", "version", "outcome", "must", "top-1", "same", "error", "images")


def runtime_rows(artifact: Artifact) -> list[list[str]]:
    """How an artifact goes in each runtime."""
    return [
        [
            ran.runtime,
            ran.version,
            ran.outcome.value,
            "yes" if ran.required else "no",
            _percent(ran.top1),
            _percent(ran.agreement),
            "none" if ran.relative_error is None else f"{ran.relative_error:.0e}",
            str(ran.images or "none"),
        ]
        for ran in artifact.runtimes
    ]


def runtime_notes(artifacts: Sequence[Artifact]) -> list[str]:
    """What went wrong, and what the columns are."""
    wrong = [(a, ran) for a in artifacts for ran in a.runtimes if not ran.right]
    notes = [f"{a.name} in {ran.runtime}: {ran.outcome.value}: {ran.reason}" for a, ran in wrong]
    if any(artifact.runtimes for artifact in artifacts):
        notes.append("must: what goes wrong there fails the artifact; same: answers of the checkpoint")
        notes.append("error: over the golden batch, from what the artifact's own runtime gave")
    return notes
