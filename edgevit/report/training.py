"""The page of one training, or of several: result, curves, what it took, settings and who decided them, how to repeat it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgevit.report import courses as charts
from edgevit.report import html, page, settings, svg, words
from edgevit.report.charts import Chart
from edgevit.report.evaluation import Fact
from edgevit.report.settings import Setting
from edgevit.types import Checkpoint, Course

TEMPLATE = "training.html.jinja"
NAMED = 5
"""Skipped images whose names are shown."""


@dataclass(frozen=True)
class Entry:
    """A run in the legend of charts."""

    colour: str
    name: str


@dataclass(frozen=True)
class Run:
    """`tone` is `good` where it is whole, and `idle` where something is missing."""

    name: str
    tone: str
    headline: str
    notices: tuple[str, ...]
    costs: tuple[Fact, ...]
    model: tuple[Fact, ...]
    settings: tuple[Setting, ...]
    machine: str
    versions: tuple[Fact, ...]
    command: str


@dataclass(frozen=True)
class Page:
    title: str
    made: str
    runs: tuple[Run, ...]
    legend: tuple[Entry, ...]
    charts: tuple[Chart, ...]


def render(courses: Sequence[Course], made: str) -> str:
    return html.fill(TEMPLATE, page=build(courses, made))


def build(courses: Sequence[Course], made: str) -> Page:
    many = len(courses) > 1
    title = f"{len(courses)} trainings" if many else f"Training of {words.plain(courses[0].name)}"
    legend = tuple(Entry(svg.themed_colour(number), words.plain(course.name)) for number, course in enumerate(courses))
    return Page(title, words.plain(made), tuple(map(_run, courses)), legend if many else (), charts.draw(courses))


def _run(course: Course) -> Run:
    best = course.best
    notices = _notices(course)
    return Run(
        name=words.plain(course.name),
        tone="idle" if _left(course) or course.watched.faults or best is None else "good",
        headline=_headline(course),
        notices=notices,
        costs=_costs(course),
        model=_model(best) if best else (),
        settings=settings.rows(best.train) if best and best.train else (),
        machine=words.plain("; gone on with on ".join(course.watched.machines)) or "Machine: not recorded.",
        versions=tuple(Fact(words.plain(name), words.plain(version)) for name, version in best.versions.items()) if best else (),
        command=settings.command(best.train, course.name) if best and best.train else "not recorded",
    )


def _headline(course: Course) -> str:
    """What the best checkpoint gave on the held-out images."""
    of = f" of {course.best.train.epochs}" if course.best and course.best.train and course.best.train.epochs else ""
    metrics = course.best.metrics if course.best else course.rows[-1]
    epoch = f"epoch {metrics['epoch']:.0f}{of}" if "epoch" in metrics else "its last epoch"
    if "val_top1" in metrics:
        return f"Top-1 {100 * metrics['val_top1']:.2f} % on held-out images, {epoch}"
    return f"Held-out loss {metrics['val_loss']:.4f}, {epoch}" if "val_loss" in metrics else f"Trained up to {epoch}"


def _left(course: Course) -> int:
    """Epochs that are still to come."""
    epochs = course.best.train.epochs if course.best and course.best.train else None
    return max(0, epochs - int(course.rows[-1].get("epoch", len(course.rows)))) if epochs else 0


def _notices(course: Course) -> tuple[str, ...]:
    said = []
    if left := _left(course):
        said.append(f"{words.counted(left, 'epoch')} of it {'is' if left == 1 else 'are'} not done.")
    if course.best and course.best.chosen_by:
        said.append(
            f"The epoch was chosen by {words.plain(course.best.chosen_by)} on these very images: on others expect a little less."
        )
    if course.best and (skipped := course.best.skipped):
        named = ", ".join(map(words.plain, skipped[:NAMED]))
        more = f" and {len(skipped) - NAMED:,} more" if len(skipped) > NAMED else ""
        said.append(f"Skipped, unreadable: {named}{more}.")
    said += [f"{words.plain(name)} {words.plain(fault)}" for name, fault in course.watched.faults.items()]
    return tuple(said)


COSTS = {
    "seconds": ("Time for an epoch", lambda value: words.duration(value)),
    "images_per_second": ("Throughput", lambda value: f"{value:,.0f} images/s"),
    "mfu": ("Model flops utilisation", lambda value: f"{100 * value:.1f} % of the peak of the processor"),
    "data_wait": ("Waiting for images", lambda value: f"{100 * value:.1f} % of the time"),
    "peak_gb": ("Peak memory", lambda value: f"{value:.1f} GB"),
}


def _costs(course: Course) -> tuple[Fact, ...]:
    """Means over the epochs, but the first where there are more: that one warms up."""
    whole = sum(value for _, value in course.line("seconds"))
    facts = [Fact("Epochs", f"{len(course.rows):,}")]
    facts += [Fact("Time in all", words.duration(whole))] if whole else []
    facts += [Fact(name, say(value)) for key, (name, say) in COSTS.items() if (value := course.mean(key)) is not None]
    return tuple(facts)


def _model(best: Checkpoint) -> tuple[Fact, ...]:
    height, width = best.config.image_size
    train = best.train
    return (
        Fact("Model", f"ViT {words.plain(best.config.variant)}: {page.shape(best.config)}"),
        Fact("Image size", f"{height} x {width} px, {words.counted(best.config.tokens, 'token')}"),
        Fact("Images", (words.plain(train.data) if train else "") or "not recorded"),
        Fact("Classes", page.classes(best.labels) if best.labels else "none: an encoder"),
        Fact("Preprocessing", page.preprocessing(best.preprocess)),
        Fact("sha256 of the weights", words.plain(best.weights_sha256)),
    )
