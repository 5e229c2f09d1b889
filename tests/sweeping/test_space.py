"""What may be searched: read, held against the settings of a training, and written out as a command again."""

from __future__ import annotations

import dataclasses
import shlex
from pathlib import Path

import pytest
import typer

from edgevit.cli import learn
from edgevit.cli.app import app
from edgevit.errors import BadInput, UnknownName
from edgevit.pipeline import sweep_rules, sweep_space
from edgevit.sweeping import space, typed
from edgevit.types import Searched, TrainConfig
from edgevit.types.sweep import in_words

TRAIN = TrainConfig(data="digits")


def _one(text: str) -> Searched:
    (found,) = space.read([text], TRAIN)
    return found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("lr=1e-4..1e-2", Searched("lr", low=1e-4, high=1e-2, log=True)),
        ("lr=0.001..0.005", Searched("lr", low=0.001, high=0.005)),
        ("lr=0.001..0.005:log", Searched("lr", low=0.001, high=0.005, log=True)),
        ("lr=1e-4..1e-2:linear", Searched("lr", low=1e-4, high=1e-2)),
        ("drop-path=0..0.2", Searched("drop_path", low=0.0, high=0.2)),
        ("drop_path = 0 .. 0.2", Searched("drop_path", low=0.0, high=0.2)),
        ("batch=8..256", Searched("batch", low=8, high=256, log=True, whole=True)),
        ("batch=32,64,128", Searched("batch", (32, 64, 128))),
        ("batch=32,64,32", Searched("batch", (32, 64))),
        ("lr=1,0.5", Searched("lr", (1.0, 0.5))),
        ("model=Ti/16,S/16", Searched("model", ("Ti/16", "S/16"))),
        ("mirror=true,False", Searched("mirror", (True, False))),
        ("image-size=32,32x48", Searched("image_size", ("32", "32x48"))),
        ("augment=none,light", Searched("augment", ("none", "light"))),
    ],
)
def test_what_is_said_is_read(text: str, found: Searched) -> None:
    assert _one(text) == found
    assert [type(value) for value in _one(text).values] == [type(value) for value in found.values]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("lr", "not a setting with values"),
        ("lr=", "not a setting with values"),
        ("learning-rate=1..2", "unknown setting: learning-rate"),
        ("data=digits,cifar", "data is no setting to choose by results"),
        ("seed=0,1,2", "seed is no setting"),
        ("lr=1e-2..1e-4", "ends before it begins"),
        ("lr=1e-3..1e-3", "ends before it begins"),
        ("lr=0..1:log", "has no logarithm"),
        ("lr=1e-4..1e-2:cubic", "unknown scale of lr: cubic"),
        ("lr=a..b", "lr is a number, not a"),
        ("lr=nan..1", "lr is a number, not nan"),
        ("lr=..1", "lr is a number, not nothing"),
        ("lr=1e-3,,1e-2", "an empty value among those of lr"),
        ("lr=0.1,1000", "lr must be between 1e-12 and 100, not 1000"),
        ("lr=1e-3..1e9", "lr must be between"),
        ("drop_path=0..1", "drop-path must be between 0 and 0.999, not 1"),
        ("batch=32.5,64", "batch is a whole number, not 32.5"),
        ("batch=0..64", "batch must be between 1"),
        ("model=Ti/16..S/16", "model has no range"),
        ("model=Tee/16", "unknown model: Tee/16"),
        ("augment=light,loud", "unknown augment: loud"),
        ("image_size=1000000000x2", "image-size takes pixels"),
        ("mirror=yes", "mirror is true or false, not yes"),
        ("distil=soft", "nothing to distil without a teacher"),
        ("epochs=5,99999999999999999999", "epochs is a whole number"),
    ],
)
def test_what_cannot_be_is_refused_before_any_trial(text: str, said: str) -> None:
    with pytest.raises(BadInput) as error:
        space.read([text], TRAIN)
    assert said in error.value.message


def test_an_unknown_name_shows_its_neighbours() -> None:
    with pytest.raises(UnknownName) as error:
        space.read(["drop_paht=0..0.1"], TRAIN)
    assert "nearest: drop-path" in error.value.hint and "weight-decay" in error.value.hint and "seed" not in error.value.hint


def test_a_setting_stands_once() -> None:
    with pytest.raises(BadInput, match="searched twice"):
        space.read(["lr=1e-4..1e-2", "lr=1,2"], TRAIN)
    with pytest.raises(BadInput, match="--lr is said and searched"):
        space.read(["lr=1e-4..1e-2"], dataclasses.replace(TRAIN, lr=0.1))
    with pytest.raises(BadInput, match="nothing to search"):
        space.read([], TRAIN)


def test_what_has_no_top1_is_not_searched() -> None:
    with pytest.raises(BadInput, match="masked patches"):
        sweep_space(["lr=1e-4..1e-2"], dataclasses.replace(TRAIN, objective="masked patches"))


def test_values_become_settings() -> None:
    found = space.settings(TRAIN, {"image_size": "32x48", "lr": 0.001, "mirror": False})
    assert (found.image_size, found.lr, found.mirror) == ((32, 48), 0.001, False)
    with pytest.raises(BadInput, match="their sum is at most 1"):
        space.settings(TRAIN, {"mixup": 0.8, "cutmix": 0.9})


def test_sampled_numbers_are_short_and_stay_in_their_range() -> None:
    searched = space.read(["lr=0.00012345..0.5", "batch=8,16"], TRAIN)
    assert space.used(searched, {"batch": 8, "lr": 0.0012345678}) == {"lr": 0.001235, "batch": 8}
    assert space.used(searched, {"batch": 16, "lr": 0.00012345})["lr"] == 0.00012345


@pytest.mark.parametrize(
    "drawn",
    [
        {"lr": 0.6, "batch": 8}, {"lr": "0.1", "batch": 8}, {"lr": float("nan"), "batch": 8}, {"lr": True, "batch": 8},
        {"lr": 0.1, "batch": 9}, {"lr": 0.1, "batch": 8.0}, {"lr": 0.1}, {"lr": 0.1, "batch": 8, "data": "elsewhere"}, {},
    ],
)  # fmt: skip
def test_what_others_wrote_into_a_study_stays_within_the_space(drawn: dict[str, object]) -> None:
    with pytest.raises(BadInput):
        space.used(space.read(["lr=0.1..0.5", "batch=8,16"], TRAIN), drawn)


def test_a_grid_has_every_point_once_and_no_ranges() -> None:
    found = space.grid(space.read(["batch=8,16", "augment=none,light,photo"], TRAIN))
    assert len(found) == 6 and len({in_words(point) for point in found}) == 6
    assert found[:2] == ({"batch": 8, "augment": "none"}, {"batch": 8, "augment": "light"})
    with pytest.raises(BadInput, match="a grid has no ranges: lr, drop-path"):
        space.grid(space.read(["lr=1e-4..1e-2", "batch=8", "drop_path=0..0.1"], TRAIN))


def test_the_rules_follow_from_the_space() -> None:
    open_space, lists = space.read(["lr=1e-4..1e-2"], TRAIN), space.read(["batch=8,16", "ema=0,0.9"], TRAIN)
    assert sweep_rules(TRAIN, open_space, None, False, True).trials == 20
    assert dataclasses.astuple(sweep_rules(TRAIN, lists, None, False, True)) == (4, True, 0, True)  # no point is tried twice
    assert dataclasses.astuple(sweep_rules(TRAIN, lists, 3, False, False)) == (3, False, 0, False)
    assert dataclasses.astuple(sweep_rules(TRAIN, lists, None, True, True)) == (4, True, 0, True)
    assert not sweep_rules(TRAIN, space.read(["epochs=5..50"], TRAIN), None, False, True).prune
    with pytest.raises(BadInput, match="a grid tries all its 4 points"):
        sweep_rules(TRAIN, lists, 3, True, True)
    with pytest.raises(BadInput, match="1 to 10000 trials"):
        sweep_rules(TRAIN, open_space, 20_000, False, True)


def test_the_command_of_the_best_says_it_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is typed again is read by the command line's own parser, and gives the same settings."""
    train = space.settings(
        dataclasses.replace(TRAIN, data="my images", seed=3, fraction=0.5, preset="scratch"),
        {"lr": 0.001234, "image_size": "32x48", "mirror": False, "drop_path": 0.1, "model": "Nano/8"},
    )
    words = shlex.split(typed.command(dataclasses.replace(train, tried={"lr 1": 0.5}, dev=0.1), Path("runs/it's")))
    assert words[:2] == ["edgevit", "train"] and words[-1] == "runs/it's"
    found: list[dict[str, object]] = []
    monkeypatch.setattr(learn, "_run", lambda given, *rest: found.append(given))
    typer.main.get_command(app).main(words[1:], standalone_mode=False)
    assert TrainConfig(**found[0]) == train  # type: ignore[arg-type]
