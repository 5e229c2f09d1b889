"""What the pages say, in words, once for Markdown and HTML: a Report becomes a Page of sentences and cells."""

from __future__ import annotations

from dataclasses import dataclass

from edgevit.interval import wilson
from edgevit.report import (
    absent,
    budgets,
    delegation,
    evaluation,
    measured,
    pictures,
    places,
    repeat,
    runtimes,
    samples,
    ship,
    table,
    verdict,
    words,
)
from edgevit.report.evaluation import Fact
from edgevit.types import Artifact, Checkpoint, Gallery, Preprocess, Report, TrainConfig, ViTConfig

CLASSES_NAMED = 12


@dataclass(frozen=True)
class File:
    """A file of an artifact, what it was allowed to differ by, and what its making cost."""

    artifact: str
    tolerance: str
    conversion: str
    hashes: tuple[Fact, ...]


@dataclass(frozen=True)
class Page:
    title: str
    made: str
    ship: tuple[ship.Answer, ...]
    verdict: verdict.Verdict
    limits: budgets.Budgets | None
    notices: tuple[str, ...]
    checkpoint: tuple[Fact, ...]
    rows: tuple[table.Row, ...]
    measured: tuple[measured.Measured, ...]
    delegation: tuple[delegation.Cost, ...]
    runtimes: runtimes.Matrix | None
    evaluation: evaluation.Evaluation | None
    evaluated: Gallery
    inside: Gallery
    samples: tuple[samples.Shown, ...]
    absent: tuple[absent.Absent, ...]
    files: tuple[File, ...]
    rules: tuple[Fact, ...]
    devices: tuple[repeat.Device, ...]
    machine: str
    versions: tuple[Fact, ...]
    weights_sha256: str
    command: str
    notes: tuple[str, ...]


def build(report: Report) -> Page:
    return Page(
        title=words.plain(report.title),
        made=words.plain(report.made),
        ship=ship.build(report),
        verdict=verdict.build(report),
        limits=budgets.build(report),
        notices=_notices(report),
        checkpoint=_checkpoint(report),
        rows=table.rows(report),
        measured=measured.build(report),
        delegation=delegation.build(report),
        runtimes=runtimes.build(report),
        evaluation=evaluation.build(report.evaluation) if report.evaluation else None,
        evaluated=pictures.build(report.evaluated),
        inside=pictures.build(report.inside),
        samples=samples.build(report.samples),
        absent=absent.build(report),
        files=tuple(_file(artifact) for artifact in report.artifacts),
        rules=repeat.rules(report),
        devices=repeat.devices(report),
        machine=words.plain(report.machine) or "not recorded",
        versions=_versions(report),
        weights_sha256=words.plain(report.checkpoint.weights_sha256) or "not recorded",
        command=report.command.strip() or "not recorded",
        notes=NOTES,
    )


def _notices(report: Report) -> tuple[str, ...]:
    """A figure that fits nowhere, or in two places, is named: leaving it out in silence would be a lie."""
    lost = [x for x in report.latencies if not any(places.belongs(x, artifact) for artifact in report.artifacts)]
    strays = [f"a latency of {words.plain(x.artifact)} belongs to no artifact of this report" for x in lost]
    names = [words.plain(artifact.name) for artifact in report.artifacts]
    twins = [name for name in dict.fromkeys(names) if names.count(name) > 1]
    return (*strays, *(f"more than one artifact is called {name}: their latencies cannot be told apart" for name in twins))


def _checkpoint(report: Report) -> tuple[Fact, ...]:
    checkpoint, config = report.checkpoint, report.checkpoint.config
    train, (height, width) = checkpoint.train, config.image_size
    return (
        Fact("Model", f"ViT {words.plain(config.variant)}: {shape(config)}"),
        Fact("Parameters", words.parameters(report.parameters)),
        Fact("Image size", f"{height} x {width} px, {words.counted(config.tokens, 'token')}"),
        Fact("Top-1", _reference(report)),
        Fact("Data", (words.plain(train.data) if train else "") or "not recorded"),
        Fact("Classes", classes(checkpoint.labels)),
        Fact("Preprocessing", preprocessing(checkpoint.preprocess)),
        Fact("Training recipe", _training(train) if train else f"by others: {words.plain(checkpoint.source) or 'not recorded'}"),
        Fact("Metrics of the training run", _metrics(checkpoint)),
    )


def shape(config: ViTConfig) -> str:
    parts = [f"width {config.width}, depth {config.depth}, {config.heads} heads, MLP {config.mlp}, patch {config.patch}"]
    parts += [f"pooling {config.pool}"] * (config.pool != "cls") + [f"positions {config.positions}"] * (config.positions != "1d")
    parts += [words.counted(config.registers, "register")] * (config.registers > 0)
    parts += [f"{merge.patches} patches left behind block {merge.after}" for merge in config.merges]
    return ", ".join([*parts, *["tanh GELU"] * (config.gelu == "tanh")])


def _reference(report: Report) -> str:
    """The checkpoint's top-1 on the very images that the artifacts answered; its origin's, where they are compared with that."""
    checked = [a for a in report.artifacts if a.reference_top1 is not None and a.images]
    found = {(a.reference_top1, a.images, a.split, " by the one it began from" * bool(a.origin)): None for a in checked}
    if not found:
        return words.missing("no artifact was checked beside it")
    return "; ".join(_with_interval(top1, images, split) + whose for top1, images, split, whose in found if top1 is not None)


def _with_interval(top1: float, images: int, split: str) -> str:
    low, high = wilson(top1, images)
    of = f"{words.percent(top1)} of {images:,} {words.images_of(split)}"
    return f"{of} (95 % interval {words.percent(low)} to {words.percent(high)})"


def classes(labels: tuple[str, ...]) -> str:
    named = ", ".join(words.plain(label) for label in labels[:CLASSES_NAMED])
    more = f" and {len(labels) - CLASSES_NAMED:,} more" if len(labels) > CLASSES_NAMED else ""
    return f"{len(labels):,}: {named}{more}"


def preprocessing(steps: Preprocess) -> str:
    (height, width), (down, across) = steps.resize, steps.crop
    covered = f"short side to {height} px" if height == width else f"to cover {height} x {width} px"
    resized = covered if steps.aspect == "keep" else f"squashed to {height} x {width} px"
    mean, std = (" ".join(f"{value:g}" for value in values) for values in (steps.mean, steps.std))
    return f"{resized} ({steps.interpolation}), middle {down} x {across} px, {steps.channels}, mean {mean}, std {std}"


def _training(train: TrainConfig) -> str:
    """What decides most, in words; `checkpoint.json` has all of it."""
    said = [f"preset {train.preset}"] + [f"from {words.plain(train.start or '')}"] * bool(train.start)
    figures = {"epochs": train.epochs, "batch": train.batch, "learning rate": train.lr, "weight decay": train.weight_decay}
    figures |= {"warm-up": train.warmup, "label smoothing": train.label_smoothing}
    said += [f"{name} {'derived' if value is None else f'{value:g}'}" for name, value in figures.items()]
    options = {"layer decay": train.layer_decay, "mixup": train.mixup, "cutmix": train.cutmix, "erasing": train.erasing}
    options |= {"stochastic depth": train.drop_path, "average of weights": train.ema}
    said += [f"{name} {value:g}" for name, value in options.items() if value and value != 1]
    said += [f"taught by {words.plain(train.teacher or '')}"] * bool(train.teacher)
    said += [f"augmentation {train.augment or 'derived'}", f"optimiser {train.optimiser or 'derived'}", f"seed {train.seed}"]
    return ", ".join([*said, f"{100 * train.held_out:g} % of the images held out"])


def _metrics(checkpoint: Checkpoint) -> str:
    said = [f"{words.plain(name)} {_metric(name, value)}" for name, value in checkpoint.metrics.items()]
    by = words.plain(checkpoint.chosen_by)
    chosen = f"; the epoch was chosen by {by} on the held-out images" if by else ""
    return (", ".join(said) or "not recorded") + chosen


def _metric(name: str, value: float) -> str:
    share = name.endswith(("top1", "top5", "accuracy")) and 0 <= value <= 1
    return words.percent(value) if share else f"{value:.6g}"


def _file(artifact: Artifact) -> File:
    return File(words.plain(artifact.name), _tolerance(artifact), _conversion(artifact), _hashes(artifact))


def _tolerance(artifact: Artifact) -> str:
    bound = artifact.tolerance
    if bound is None:
        return "not recorded"
    drop = f"top-1 at most {100 * bound.drop:g} points lower"
    return f"relative error up to {bound.relative_error:g}, {drop}, agreement at least {100 * bound.agreement:g} %"


def _conversion(artifact: Artifact) -> str:
    """On the machine that converted, never on a phone."""
    if artifact.seconds is None:
        return table.why_missing(artifact)
    peak = "not measured" if artifact.peak_bytes is None else words.size(artifact.peak_bytes)
    return f"{words.duration(artifact.seconds)}, peak memory {peak}"


def _hashes(artifact: Artifact) -> tuple[Fact, ...]:
    """The model first, then the other files of the folder; a model that is a folder has a hash of its own."""
    model = {artifact.file: artifact.sha256} if artifact.file and artifact.sha256 else {}
    named = {**model, **artifact.files}
    return tuple(Fact(words.plain(name), words.plain(digest)) for name, digest in named.items())


def _versions(report: Report) -> tuple[Fact, ...]:
    """Each library once; where two parts of the report had different ones, who had which."""
    sources = {"checkpoint": report.checkpoint.versions} | {a.name: a.versions for a in report.artifacts}
    libraries = sorted({library for versions in sources.values() for library in versions})
    return tuple(Fact(words.plain(library), _version(library, sources)) for library in libraries)


def _version(library: str, sources: dict[str, dict[str, str]]) -> str:
    users: dict[str, list[str]] = {}
    for source, versions in sources.items():
        if library in versions:
            users.setdefault(words.plain(versions[library]), []).append(words.plain(source))
    if len(users) == 1:
        return next(iter(users))
    return "; ".join(f"{version} ({words.listed(who)})" for version, who in users.items())


NOTES = (
    "Every artifact answered the same images as the checkpoint, preprocessed in the same way. "
    "Top-1 is the share of right answers; its change is against the checkpoint on the same images.",
    "Agreement is the share of images to which the artifact and the checkpoint give the same answer, right or wrong.",
    "Lost are right answers of the checkpoint that the artifact does not give, won are its own. McNemar's exact test says how "
    "often so uneven a split would come if both were equally good (p), and what change of top-1 so many images show or more.",
    "Relative error is |a - b| / |b| over the logits of the golden images: a of the artifact, b of the model as it was "
    "converted; where that is quantized, the one with b of the float checkpoint stands below.",
    "The 95 % interval is Wilson's. It says how far the share may be from that of all such images; "
    "two artifacts on the same images can be told apart more sharply than their intervals suggest.",
    '"This machine (host)" means that the target\'s own runtime ran on the machine named below. '
    "A latency of the host is no phone's latency.",
    '"Reference evaluator" means that a program on this machine read the exported file back and computed each of its '
    "operations in place of the target's runtime. For a Core ML file this is not Core ML: no Apple software ran.",
    "Latency is the time for one image after warm-up: half of the timed runs took p50 at most, 90 % took p90 at most, "
    "99 % took p99 at most.",
    "A process that is started again is up to some per cent faster or slower all its life. So every artifact is launched "
    "several times, in turn with the others, and the interval of p50 is that of its medians from launch to launch. Where the "
    "intervals of two meet, nobody can tell which is faster, and the report does not say it.",
    "What is recommended is the artifact with the lowest p50 of those whose answers are right; of several that cannot be told "
    "from it, the smallest file, then the most accurate. The Pareto front holds those that no other beats in p90 or top-1 "
    "without losing in the other.",
    "Same integers: whether the exported file holds the very integers that quantization made, weight by weight.",
)
