"""A search of settings: trials until there are enough, with whoever is at the same study, and one training with the best."""

from __future__ import annotations

import dataclasses
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgevit import stage
from edgevit.data import lasting
from edgevit.errors import BadInput, Diverged, EdgevitError, NotInstalled, StageFailed
from edgevit.pipeline import training, trying
from edgevit.pipeline.look import refuse_written
from edgevit.sweeping import space as spaces
from edgevit.sweeping import storage, typed
from edgevit.sweeping.alone import Alone
from edgevit.sweeping.book import Book
from edgevit.training import run_settings
from edgevit.types import Checkpoint, Ending, Progress, Searched, Sweep, SweepRules, TrainConfig, Trial, Value, in_words
from edgevit.types.sweep import SWEPT, best_trial

if TYPE_CHECKING:
    from edgevit.sweeping.opening import Opened

TRIALS = 20
POLL = 2.0
"""Seconds between two looks at trials that others do."""
WORK, JOURNAL, NAME = ".sweep", "study.journal", "search"
"""Behind the name of --out: the folder of a search without a storage of its own, its file there, and the name of its study."""

Tell = Callable[[Trial, tuple[Trial, ...]], None]
"""Is told a trial that has ended, and all of them."""


@dataclass(frozen=True)
class Asked:
    """A search as the user asked for it. `storage` and `study` are None where it has none of its own."""

    train: TrainConfig
    space: tuple[Searched, ...]
    rules: SweepRules
    storage: str | None = None
    study: str | None = None
    final: bool = True
    command: str = ""


def space(texts: Sequence[str], train: TrainConfig) -> tuple[Searched, ...]:
    """What --search says. Raises BadInput."""
    if train.objective != "classes":
        raise BadInput("a search is judged by top-1, which masked patches have not")
    return spaces.read(texts, train)


def rules(train: TrainConfig, searched: tuple[Searched, ...], trials: int | None, grid: bool, prune: bool) -> SweepRules:
    """Raises BadInput. A space of no more points than trials is tried whole, as a grid.

    Nothing is pruned where trials have different numbers of epochs: what one has reached after three says little of another.
    """
    count = spaces.points(searched)
    if grid:
        count = len(spaces.grid(searched))
        if trials is not None:
            raise BadInput(f"a grid tries all its {count} points", "leave out --trials, or --grid")
    whole = count is not None and count <= (trials or TRIALS)
    prune = prune and "epochs" not in {one.name for one in searched}
    try:
        return SweepRules(count if count and (grid or whole) else trials or TRIALS, grid or whole, train.seed, prune)
    except ValueError as error:
        raise BadInput(str(error)) from error


def begun(out: Path) -> bool:
    """Whether --resume would find a search that keeps its book beside `out`."""
    return (_work(out) / JOURNAL).exists()


def sweep(asked: Asked | None, out: Path, force: bool, resume: bool, progress: Progress, tell: Tell) -> Sweep:
    """Try settings until there are enough trials, train with the best of them into `out`, and write the report there.

    Without `asked`, the search beside `out` goes on. Where others are at the same study, it is shared with them; one of all
    trains at the end, and only there `final_top1` and the report are made. Raises BadInput for a study that searches something
    else, and the error of the trials where none came to its end.
    """
    own = asked is None or asked.storage is None
    _require_library()
    _require_place(asked, out, force, resume, own)
    books = _opened(asked, out)
    if asked and asked.final and not (own or resume or books.final.trials()):
        run_settings.place(out, force)  # whoever trains at the end is at it there
    total = books.said.rules.trials
    _do_trials(books.trials, books.said.train, total, progress, tell)
    found = _gathered(books, asked, out)
    if found.best is None:
        if own:
            _write(found, _work(out), progress)
        raise nothing(found.trials, f"; {_work(out) / SWEPT[-1]} shows all" if own else "")
    return _ended(books, found, out, force, own, progress)


def _ended(books: Opened, found: Sweep, out: Path, force: bool, own: bool, progress: Progress) -> Sweep:
    """The training with the best, and the report; both are left to another process where that is at it."""
    if not books.said.final:
        return _closed(found, out, own, progress)
    made = _trained(books, found, out, force, progress)
    ends = [trial for trial in books.final.trials() if trial.ending is Ending.DONE]
    if ends:
        found = dataclasses.replace(found, final_top1=ends[0].top1)
    return _closed(found, out, own, progress) if ends and (made or own) else found


def _closed(found: Sweep, out: Path, own: bool, progress: Progress) -> Sweep:
    found = _write(found, out, progress)
    if own:
        shutil.rmtree(_work(out), ignore_errors=True)
    return found


def _work(out: Path) -> Path:
    return out.resolve().with_name(out.resolve().name + WORK)


def _require_place(asked: Asked | None, out: Path, force: bool, resume: bool, own: bool) -> None:
    """Raise BadInput where the result may not go, or where a search is there already; make the folder of a new one."""
    if asked and not asked.final:
        refuse_written(out, SWEPT, force or resume)
    elif not resume and own:
        run_settings.place(out, force)
    if not own:
        return
    work = _work(out)
    if begun(out) and not resume:
        if not force:
            raise BadInput(f"a search was begun in {work}", "--resume goes on with it; --force begins anew")
        shutil.rmtree(work)
    elif resume and not begun(out):
        raise BadInput(f"nothing to resume in {work}", "no search was begun there; leave out --resume")
    if work.exists() and not work.is_dir():
        raise BadInput(f"not a folder: {work}", "choose another --out")
    work.mkdir(parents=True, exist_ok=True)


def _require_library() -> None:
    try:
        import edgevit.sweeping.opening  # noqa: F401
    except ImportError as error:
        raise NotInstalled("a search needs what is not installed: optuna", "pip install 'edgevit[sweep]'") from error


def _opened(asked: Asked | None, out: Path) -> Opened:
    from edgevit.sweeping.opening import Said, opened

    if asked and asked.storage:  # where data lies elsewhere on another machine, it can be said alike there
        return opened(asked.storage, asked.study or out.resolve().name, Said(asked.train, asked.space, asked.rules, asked.final))
    said = Said(_lasting(asked.train), asked.space, asked.rules, asked.final) if asked else None
    return opened(f"{storage.JOURNAL}{_work(out) / JOURNAL}", NAME, said)


def _lasting(train: TrainConfig) -> TrainConfig:
    """With paths that lead to the same from another working directory, from which it may go on."""
    start, teacher = (lasting(path) if path else None for path in (train.start, train.teacher))
    return dataclasses.replace(train, data=lasting(train.data), start=start, teacher=teacher)


def _do_trials(book: Book, train: TrainConfig, total: int, progress: Progress, tell: Tell) -> None:
    while True:
        one = book.take()
        if one is None:
            if not (others := book.others()):
                return
            progress(f"waiting for trials of others: {others}", 0, None)
            time.sleep(POLL)
            continue
        best = best_trial(book.trials())
        so_far = f", best {100 * (best.top1 or 0):.2f} %" if best else ""
        trying.do(book, one, train, f"trial {one.number} of {total}{so_far}", progress)
        ended = book.trials()
        for trial in (trial for trial in ended if trial.number == one.number):
            tell(trial, ended)


def nothing(trials: Sequence[Trial], more: str = "") -> EdgevitError:
    """What to say where no trial came to its end."""
    if all(trial.ending is Ending.DIVERGED for trial in trials):
        return Diverged(f"in all {len(trials)} trials the loss is no longer a number", f"search lower learning rates{more}")
    why = next((trial.why for trial in trials if trial.why and trial.ending is not Ending.PRUNED), "all were pruned")
    return StageFailed(f"none of {len(trials)} trials came to its end: {why}", f"search smaller models, or smaller batches{more}")


def _gathered(books: Opened, asked: Asked | None, out: Path) -> Sweep:
    trials, train = books.trials.trials(), books.said.train
    best = best_trial(trials)
    again = typed.command(spaces.settings(train, best.settings), out.with_name(f"{out.resolve().name}-again")) if best else ""
    study = (asked and asked.study) or out.resolve().name
    return Sweep(
        study, train, books.said.space, books.said.rules, trials, best.number if best else None,
        importance=books.trials.importance(), command=storage.hidden(asked.command if asked else ""), again=again,
    )  # fmt: skip


def _trained(books: Opened, found: Sweep, out: Path, force: bool, progress: Progress) -> Checkpoint | None:
    """The one training with the best settings on all training images. None where another process does it, or has done it."""
    one = books.final.take()
    if one is None:
        return None
    best = found.trials[[trial.number for trial in found.trials].index(found.best or 0)]
    settings = dataclasses.replace(spaces.settings(found.train, best.settings), tried=tried(found.trials))
    started = time.monotonic()
    try:
        with books.final.held(one):
            again = _goes_on(settings, out)
            made = training.resume({}, out, progress) if again else training.train(settings, out, force, progress)
    except BaseException:
        books.final.give_back(one)
        raise
    books.final.end(one, Ending.DONE, made.metrics["val_top1"], time.monotonic() - started, "")
    return made


def _goes_on(settings: TrainConfig, out: Path) -> bool:
    """Whether an unfinished run at `out` is this very one."""
    try:
        return run_settings.unfinished(out)[1].tried == settings.tried
    except BadInput:
        return False


def tried(trials: Sequence[Trial]) -> dict[str, float | None]:
    """What a checkpoint remembers of them."""
    return {in_words(trial.settings): trial.top1 for trial in trials}


def _write(found: Sweep, into: Path, progress: Progress) -> Sweep:
    return stage.run("edgevit.jobs.sweep:write", Sweep, progress, found=found, out=into, dev=trying.DEV).value


def train_best_rate(asked: TrainConfig, rates: tuple[float, ...], out: Path, force: bool, progress: Progress) -> Checkpoint:
    """Train with each of the learning rates, and then on all training images with the one that did best: a search of one setting,

    in the memory of this process. Of equal rates the lowest is chosen.
    """
    run_settings.place(out, force)
    points: list[dict[str, Value]] = [{"lr": rate} for rate in sorted(set(rates))]
    for point in points:
        spaces.settings(asked, point)
    book = Alone(points)
    _do_trials(book, asked, len(points), progress, lambda trial, trials: None)
    trials = book.trials()
    best = best_trial(trials)
    if best is None and all(trial.ending is Ending.DIVERGED for trial in trials):
        named = ", ".join(f"{rate:g}" for rate in rates)
        raise Diverged(f"with every learning rate the loss is no longer a number: {named}", "try lower ones")
    if best is None:
        raise nothing(trials)
    by_rate = {f"{trial.settings['lr']:g}": trial.top1 for trial in trials}
    return training.train(dataclasses.replace(spaces.settings(asked, best.settings), tried=by_rate), out, force, progress)
