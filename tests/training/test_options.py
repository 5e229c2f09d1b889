"""What a training may begin with, and how it may learn: presets, checkpoints, distilling, averaging."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
import torch

from edgevit import checkpoint as checkpoints
from edgevit.data.dataset import Images
from edgevit.data.drawing import draws
from edgevit.errors import BadInput
from edgevit.jobs.evaluate import evaluate
from edgevit.training import recipe, watch
from edgevit.training.average import Average
from edgevit.training.fit import fit
from edgevit.training.images import Chosen
from edgevit.training.optimiser import build, layer
from edgevit.training.run_folder import parameters
from edgevit.training.start import continued
from edgevit.training.supervised import Supervised, Teacher
from edgevit.types import Checkpoint, DataChoice, Preprocess, TrainConfig, read_label, silent
from edgevit.vit.config import config
from edgevit.vit.model import ViT

TINY = TrainConfig(data="digits", model="Pico/8", epochs=2, batch=256, lr=3e-3, fraction=0.5)


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("start") / "run"
    fit(dataclasses.replace(TINY, epochs=3, representation=32, registers=2), run, resume=False)
    return run


OPTIONS: dict[str, dict[str, Any]] = {
    "sgd": {"optimiser": "sgd", "lr": 0.05},
    "mixed": {"mixup": 0.5, "cutmix": 0.5, "erasing": 0.3, "augment": "strong"},
    "average": {"ema": 0.9, "drop_path": 0.2},
    "accumulated": {"accumulate": 2, "layer_decay": 0.7},
    "masked": {"objective": "masked patches"},
    "bfloat16": {"precision": "bfloat16"},
    "merged": {"keep_patches": 0.5, "image_size": (16, 16), "model": "Pico/4"},
}


@pytest.mark.parametrize("option", OPTIONS.values(), ids=OPTIONS.keys())
def test_learns_and_resumes_bit_for_bit(option: dict[str, Any], tmp_path: Path) -> None:
    train = dataclasses.replace(TINY, **option)
    best = fit(train, tmp_path / "whole", resume=False)
    rows = watch.read(tmp_path / "whole" / watch.LINES)
    assert rows[1]["loss"] < rows[0]["loss"] and len(best.labels) == best.config.classes

    def stop(label: str, done: float, total: float | None) -> None:
        if read_label(label).detail.startswith("epoch 2/"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(train, tmp_path / "cut", resume=False, progress=stop)
    fit(train, tmp_path / "cut", resume=True)
    for name in ("best", "last"):
        whole, cut = (safetensors.numpy.load_file(tmp_path / run / name / checkpoints.WEIGHTS) for run in ("whole", "cut"))
        assert whole.keys() == cut.keys() and all(np.array_equal(whole[key], cut[key]) for key in whole)


@pytest.mark.parametrize("option", [{}, {"distil": "token"}, {"ema": 0.9, "freeze": True}], ids=["plain", "token", "frozen"])
def test_a_fine_tuning_goes_on_without_what_it_began_from(option: dict[str, Any], start: Path, tmp_path: Path) -> None:
    """`start` has a representation layer, which fine-tuning drops, and no distillation token, which `token` adds."""
    begun = shutil.copytree(start, tmp_path / "begun")
    teacher = str(start) if "distil" in option else None
    train = TrainConfig("digits", start=str(begun), teacher=teacher, epochs=2, batch=256, fraction=0.5, **option)
    fit(train, tmp_path / "whole", resume=False)

    def stop(label: str, done: float, total: float | None) -> None:
        if read_label(label).detail.startswith("epoch 2/"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(train, tmp_path / "cut", resume=False, progress=stop)
    shutil.rmtree(begun)
    settings = checkpoints.read(tmp_path / "cut" / "last").train
    assert settings
    fit(settings, tmp_path / "cut", resume=True)
    whole, cut = (safetensors.numpy.load_file(tmp_path / run / "last" / checkpoints.WEIGHTS) for run in ("whole", "cut"))
    assert whole.keys() == cut.keys() and all(np.array_equal(whole[key], cut[key]) for key in whole)


def test_what_is_kept_last_answers_as_its_metrics_say(tmp_path: Path) -> None:
    """With an average of the weights, that is what was evaluated."""
    fit(dataclasses.replace(TINY, ema=0.9), tmp_path / "run", resume=False)
    data = DataChoice("digits", "held-out", "refuse")
    found = evaluate(tmp_path / "run" / "last", data, silent).top1
    assert found == checkpoints.read(tmp_path / "run" / "last").metrics["val_top1"]


@pytest.mark.parametrize("accumulate", [2, 3, 7])
def test_accumulated_batches_are_one_large_batch(accumulate: int, tmp_path: Path) -> None:
    """Also at the end of an epoch, where fewer are left: 715 images are 12 batches of 60 and half a one."""
    common = dataclasses.replace(TINY, optimiser="sgd", lr=0.1, warmup=0.0, augment="none", epochs=1, model="Pico/8")
    parts = dataclasses.replace(common, batch=60, accumulate=accumulate)
    large = dataclasses.replace(common, batch=60 * accumulate)
    for name, train in (("parts", parts), ("large", large)):
        fit(train, tmp_path / name, resume=False)
    one, other = (safetensors.numpy.load_file(tmp_path / n / "last" / checkpoints.WEIGHTS) for n in ("parts", "large"))
    assert all(np.allclose(one[key], other[key], atol=2e-5) for key in one)


def test_precision_is_chosen_and_written_down(tmp_path: Path) -> None:
    coarse, fine = (dataclasses.replace(TINY, epochs=1, precision=p) for p in ("bfloat16", None))
    found = [fit(train, tmp_path / name, resume=False) for name, train in (("coarse", coarse), ("fine", fine))]
    assert [f.train and f.train.precision for f in found] == [
        "bfloat16",
        "float32" if not torch.cuda.is_available() else "bfloat16",
    ]
    assert found[0].metrics["loss"] != found[1].metrics["loss"] == pytest.approx(found[0].metrics["loss"], rel=0.02)


def test_fine_tuning_keeps_the_encoder_and_makes_a_new_head(start: Path, tmp_path: Path) -> None:
    found = fit(
        TrainConfig("digits", start=str(start), epochs=1, image_size=(48, 48), fraction=0.5), tmp_path / "run", resume=False
    )
    assert found.train and (found.train.preset, found.train.layer_decay, found.train.model) == ("finetune", 0.75, "Pico/8")
    assert (found.config.image_size, found.config.representation, found.config.registers) == ((48, 48), 0, 2)
    assert found.preprocess.crop == (48, 48)


def test_a_checkpoint_that_merges_patches_is_gone_on_with(tmp_path: Path) -> None:
    run, merged = tmp_path / "run", TrainConfig(data="digits", epochs=1, batch=256, fraction=0.2, start=str(tmp_path / "run"))
    before = fit(
        dataclasses.replace(merged, model="Pico/4", image_size=(16, 16), keep_patches=0.5, start=None), run, resume=False
    )
    assert before.config.lengths == (17, 12, 9, 9)
    assert fit(merged, tmp_path / "same", resume=False).config.merges == before.config.merges
    less = dataclasses.replace(merged, keep_patches=0.3, image_size=(20, 20))
    assert fit(less, tmp_path / "less", resume=False).config.lengths == (26, 15, 9, 9)
    assert not fit(dataclasses.replace(merged, keep_patches=1), tmp_path / "whole", resume=False).config.merges
    with pytest.raises(BadInput, match="another image size has other numbers"):
        fit(dataclasses.replace(merged, image_size=(20, 20)), tmp_path / "other", resume=False)


def test_probe_trains_the_head_alone(start: Path, tmp_path: Path) -> None:
    fit(TrainConfig("digits", start=str(start), preset="probe", epochs=2, fraction=0.5), tmp_path / "run", resume=False)
    before, after = (checkpoints.load(path)[1].state_dict() for path in (start, tmp_path / "run"))
    changed = {name for name in after if name in before and not torch.equal(before[name], after[name])}
    assert changed <= {"head.weight", "head.bias"} and "head.bias" in changed


def test_kept_head_answers_as_before(start: Path, tmp_path: Path) -> None:
    settings = TrainConfig("digits", start=str(start), keep_head=True, epochs=1, lr=1e-12, fraction=0.5)
    found = fit(settings, tmp_path / "run", resume=False)
    assert found.metrics["val_top1"] == pytest.approx(checkpoints.read(start).metrics["val_top1"], abs=1e-6)
    assert found.config.representation == 32


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"model": "Nano/8"}, "is Pico/8, not Nano/8"),
        ({"positions": "2d"}, "has positions 1d, not 2d"),
        ({"image_size": (30, 30)}, "does not divide image size 30"),
        ({"preset": "scratch"}, "starts from nothing"),
        ({"pool": "mean"}, "has pool cls, not mean"),
    ],
)
def test_what_a_checkpoint_cannot_become(change: dict[str, Any], words: str, start: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=words):
        fit(dataclasses.replace(TrainConfig("digits", start=str(start), epochs=1), **change), tmp_path / "run", resume=False)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("distil", ["soft", "token"])
def test_distillation(distil: str, start: Path, tmp_path: Path) -> None:
    train = dataclasses.replace(TINY, teacher=str(start), distil=distil, image_size=(16, 16))
    found = fit(train, tmp_path / "run", resume=False)
    assert found.config.pool == ("distilled" if distil == "token" else "cls")
    rows = watch.read(tmp_path / "run" / watch.LINES)
    assert rows[1]["loss"] < rows[0]["loss"]


def test_the_loss_of_a_student(start: Path) -> None:
    """Softly, by the softened probabilities and the labels alike; by token, each head its own teacher (DeiT, equation 3);

    as it answers, the answer of all heads together by its probabilities alone.
    """
    torch.manual_seed(0)
    device, random = torch.device("cpu"), draws(0, 0, 0, 6, 0, 6)
    images, classes = torch.randn(6, 3, 32, 32), torch.randint(10, (6,))
    record, teacher = checkpoints.load(start)
    said = teacher(images).detach()
    for distil, pool in (
        ("soft", "cls"), ("soft", "distilled"), ("token", "distilled"), ("answers", "cls"), ("answers", "distilled"),
    ):  # fmt: skip
        model = ViT(dataclasses.replace(config("Pico/8", (32, 32), 10), pool=pool)).eval()
        for head in model.heads():
            torch.nn.init.normal_(head.weight)
        train = dataclasses.replace(TINY, teacher=str(start), distil=distil, pool=pool, label_smoothing=0.0)
        objective = Supervised(model, train, 10, Teacher(start, record.labels, record.preprocess, device))
        found = objective(*objective.prepared(images, classes, random))
        logits = model.answers(*model.encode(model.embed(model.patch_embed(images))))
        own = [-x.log_softmax(1)[range(6), classes].mean() for x in logits]
        if distil == "token":
            expected = (own[0] - logits[1].log_softmax(1)[range(6), said.argmax(1)].mean()) / 2
        elif distil == "answers":
            p = said.softmax(1)
            expected = (p * (p.log() - model(images).log_softmax(1))).sum(1).mean()
        else:
            p = (said / 3).softmax(1)
            soft = [9 * (p * (p.log() - (x / 3).log_softmax(1))).sum(1).mean() for x in logits]
            expected = sum((a + b) / 2 for a, b in zip(own, soft, strict=True)) / len(logits)
        assert float(found) == pytest.approx(float(expected), rel=1e-5), (distil, pool)


def test_a_student_without_a_token_learns_softly(start: Path) -> None:
    source = _source(8000, 32, False)
    choices = (({}, "none"), ({"teacher": "x"}, "soft"), ({"teacher": "x", "pool": "distilled"}, "token"))
    assert [recipe.resolve(TrainConfig("x", **said), source).distil for said, _ in choices] == [kind for _, kind in choices]


@pytest.mark.parametrize("said", [{"preset": "probe"}, {"preset": "finetune"}, {"preset": "paper"}, {"freeze": True}])
def test_nothing_learned_is_nothing_to_go_on_from(said: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="goes on from a checkpoint"):
        fit(dataclasses.replace(TINY, **said), tmp_path / "run", resume=False)
    assert not (tmp_path / "run").exists()


def test_a_token_beside_no_class_token(tmp_path: Path, start: Path) -> None:
    fit(dataclasses.replace(TINY, pool="mean", epochs=1), tmp_path / "mean", resume=False)
    with pytest.raises(BadInput, match="no class token"):
        train = TrainConfig("digits", start=str(tmp_path / "mean"), teacher=str(start), distil="token", epochs=1)
        fit(train, tmp_path / "run", resume=False)


def test_teacher_of_other_classes_is_refused(start: Path, tmp_path: Path) -> None:
    record, model = checkpoints.load(start)
    (tmp_path / "other").mkdir()
    checkpoints.save(tmp_path / "other", model, dataclasses.replace(record, labels=tuple("abcdefghij")))
    with pytest.raises(BadInput, match="knows other classes"):
        fit(dataclasses.replace(TINY, teacher=str(tmp_path / "other")), tmp_path / "run", resume=False)


def _source(n: int, size: int, photos: bool) -> Chosen:
    images = Images([""] * n, np.zeros(n, np.int64), lambda i: None)  # type: ignore[arg-type,return-value]
    return Chosen("x", ("a", "b"), images, images, size, photos)


def test_the_dial() -> None:
    """Each preset says everything, by data and model; what the user says stays."""
    start = Checkpoint(config("Ti/16", (224, 224), 2), Preprocess((256, 256), (224, 224)), ("a", "b"), {}, "", {})
    for preset, given in (("scratch", None), ("finetune", start), ("paper", start), ("probe", start)):
        found = recipe.resolve(TrainConfig("x", preset=preset), _source(8000, 32, True), given)
        undecided = {name for name, value in vars(found).items() if value is None}
        assert not undecided - {"start", "teacher", "precision", "compile", "keep_patches", "quantize", "said"}, preset
    learnt = recipe.resolve(TrainConfig("x", start="y", quantize="int4", keep_head=True), _source(8000, 32, True), start)
    assert (learnt.preset, learnt.lr, learnt.epochs, learnt.layer_decay) == ("quantize", None, 7, 1.0)
    rates = [recipe.paced(learnt, 192, loss).lr for loss in (0.0, 0.0025, 1.0)]
    assert rates == [1e-8, pytest.approx(0.02 / 192 / 20), pytest.approx(0.02 / 192)]
    assert recipe.paced(dataclasses.replace(learnt, lr=0.5), 192, 1.0).lr == 0.5
    paper = recipe.resolve(TrainConfig("x", preset="paper"), _source(80_000, 224, True), start)
    assert (paper.optimiser, paper.weight_decay, paper.batch, paper.label_smoothing) == ("sgd", 0.0, 512, 0.0)
    assert recipe.resolve(TrainConfig("x"), _source(100, 32, True), start).preset == "finetune"
    many, few = (recipe.resolve(TrainConfig("x"), _source(n, 224, True)) for n in (100_000, 1000))
    assert many.mixup and many.augment == "strong" and many.ema and not few.mixup and few.augment == "photo"
    assert many.mirror and few.mirror and not recipe.resolve(TrainConfig("x", augment="light"), _source(100, 32, True)).mirror
    assert recipe.resolve(TrainConfig("x", mirror=True), _source(100, 28, False)).mirror
    assert recipe.resolve(TrainConfig("x", mixup=0.7), _source(100_000, 224, True)).cutmix == pytest.approx(0.3)
    assert recipe.resolve(TrainConfig("x", cutmix=1.0), _source(100_000, 224, True)).mixup == 0.0
    assert recipe.resolve(TrainConfig("x", mixup=0.0), _source(100_000, 224, True)).mixup == 0.0


@pytest.mark.parametrize("native", [8, 28, 32, 37, 64, 65, 100, 224, 300])
@pytest.mark.parametrize("model", [None, "Pico/7", "Ti/16"])
def test_images_of_any_size_have_a_default(native: int, model: str | None) -> None:
    found = recipe.resolve(TrainConfig("x", model=model), _source(100, native, True))
    assert found.image_size and found.model
    shape = config(found.model, found.image_size, 2)
    assert model is not None or native in (37, 65, 100, 300) or shape.image_size == (native, native)
    assert abs(found.image_size[0] - native) <= shape.patch


def test_layers_of_parameters() -> None:
    names = [
        "patch_embed.proj.weight",
        "pos_embed",
        "reg_token",
        "blocks.0.norm1.weight",
        "blocks.11.mlp.fc2.bias",
        "norm.bias",
        "head.weight",
    ]
    assert [layer(name, 12) for name in names] == [0, 0, 0, 1, 12, 13, 13]


def test_lower_layers_learn_more_slowly() -> None:
    model = ViT(config("Pico/8", (16, 16), 4))
    train = TrainConfig("x", lr=1.0, weight_decay=0.1, layer_decay=0.5)
    made = build(parameters(model, None), train, depth=4)
    scales = {id(p): group["scale"] for group in made.param_groups for p in group["params"]}
    found = {name: scales[id(p)] for name, p in model.named_parameters()}
    assert found["head.weight"] == found["norm.bias"] == 1
    assert [found[f"blocks.{n}.mlp.fc1.weight"] for n in (3, 2, 1, 0)] == [0.5, 0.25, 0.125, 0.0625]
    assert found["pos_embed"] == found["patch_embed.proj.weight"] == 0.5**5
    decays = {id(p): group["weight_decay"] for group in made.param_groups for p in group["params"]}
    assert decays[id(model.head.weight)] == 0.1 and decays[id(model.pos_embed)] == decays[id(model.norm.weight)] == 0


def test_a_continued_model_has_a_head_of_zeros_and_the_encoder_it_had() -> None:
    torch.manual_seed(0)
    old = ViT(config("Pico/8", (16, 16), 4))
    for p in old.parameters():
        torch.nn.init.normal_(p)
    new = continued(old, dataclasses.replace(old.config, image_size=(24, 40), classes=7), keep_head=False)
    assert new.head.weight.shape == (7, 64) and not new.head.weight.any() and not new.head.bias.any()
    kept = {name: t for name, t in old.state_dict().items() if not name.startswith(("head.", "pos_embed"))}
    assert all(torch.equal(t, new.state_dict()[name]) for name, t in kept.items())
    assert new.pos_embed.shape == (1, 1 + 3 * 5, 64) and torch.equal(new.pos_embed[:, 0], old.pos_embed[:, 0])


def test_average_follows() -> None:
    model = ViT(config("Pico/8", (16, 16), 4))
    average = Average(model, 0.5)
    torch.nn.init.ones_(model.head.bias)
    average.follow(model, step=0)
    first = average.model.head.bias[0].item()
    average.follow(model, step=1000)
    assert first == pytest.approx(0.9) and average.model.head.bias[0].item() == pytest.approx(0.95)


@pytest.mark.parametrize(
    "change",
    [
        {"seed": -1}, {"seed": 10**14}, {"preset": "pretrain"}, {"distil": "token", "teacher": "x", "pool": "mean"},
        {"distil": "none", "teacher": "x"},
        {"mixup": 0.7, "cutmix": 0.7}, {"keep_head": True}, {"distil": "soft"}, {"optimiser": "lion"}, {"ema": 2.0},
    ],
)  # fmt: skip
def test_settings_that_cannot_be(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        TrainConfig("digits", **change)
