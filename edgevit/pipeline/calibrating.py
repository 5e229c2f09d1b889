"""Which images a recipe may look at while it quantizes."""

from __future__ import annotations

from edgevit.data import lasting
from edgevit.errors import BadInput
from edgevit.types import Calibration, Checkpoint, DataChoice, QuantRecipe


def images(
    source: Checkpoint, recipes: list[QuantRecipe], asked: Calibration | None, checked_on: DataChoice
) -> Calibration | None:
    """Those that were asked for, or the ones that the checkpoint was trained on; None where no recipe needs any.

    Raises BadInput where there are none to take, and for the very images that the artifacts are checked on.
    """
    needing = [recipe.name for recipe in recipes if recipe.calibrates]
    if not needing:
        return None
    if asked is None and source.train is None:
        raise BadInput(
            f"{', '.join(needing)} looks at images, and those that {source.folder} was trained on are unknown here",
            "--calibrate FOLDER names some like those of the app, others than --data",
        )
    chosen = asked or choose(source, None, Calibration.IMAGES, "refuse")
    assert chosen
    same = lasting(chosen.data.spec) == lasting(checked_on.spec)
    if same and (chosen.data.split == "all" or checked_on.split in ("all", chosen.data.split)):
        raise BadInput(
            f"{chosen.data.spec} would both be calibrated on and checked on", "--calibrate other images, or another --split"
        )
    return chosen


def choose(source: Checkpoint, spec: str | None, count: int, on_bad: str) -> Calibration | None:
    """At most `count` images of `spec`, or of what the checkpoint was trained on; None where that is unknown."""
    if spec is not None:
        trained_on = source.train.data if source.train else ""
        return Calibration(DataChoice(lasting(spec), "train" if lasting(spec) == lasting(trained_on) else "all", on_bad), count)
    return Calibration(DataChoice(source.train.data, "train", on_bad), count) if source.train else None


def words(calibration: Calibration) -> str:
    return f"up to {calibration.images} images of {calibration.data.spec} ({calibration.data.split})"
