"""Google's npz: the same logits as their model, written out here once more as their code defines it.

The reference knows nothing of edgevit: it works on the file's own arrays, in double precision, with channels last as Flax has.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from edgevit.errors import BadInput, DamagedFile
from edgevit.vit.foreign.asked import Asked

WIDTH, HEADS, MLP, DEPTH, CLASSES = 48, 4, 80, 3, 5
EXACT = 1e-5

Arrays = dict[str, np.ndarray]


def _shapes(parts: tuple[str, str, str]) -> dict[str, tuple[int, ...]]:
    attention, norm, mlp = parts
    found: dict[str, tuple[int, ...]] = {"Transformer/encoder_norm/scale": (WIDTH,), "Transformer/encoder_norm/bias": (WIDTH,)}
    for n in range(DEPTH):
        block = f"Transformer/encoderblock_{n}"
        for name in ("LayerNorm_0", norm):
            found |= {f"{block}/{name}/scale": (WIDTH,), f"{block}/{name}/bias": (WIDTH,)}
        for name in ("query", "key", "value"):
            found |= {f"{block}/{attention}/{name}/kernel": (WIDTH, HEADS, WIDTH // HEADS)}
            found |= {f"{block}/{attention}/{name}/bias": (HEADS, WIDTH // HEADS)}
        found |= {f"{block}/{attention}/out/kernel": (HEADS, WIDTH // HEADS, WIDTH), f"{block}/{attention}/out/bias": (WIDTH,)}
        found |= {f"{block}/{mlp}/Dense_0/kernel": (WIDTH, MLP), f"{block}/{mlp}/Dense_0/bias": (MLP,)}
        found |= {f"{block}/{mlp}/Dense_1/kernel": (MLP, WIDTH), f"{block}/{mlp}/Dense_1/bias": (WIDTH,)}
    return found


OLD = ("MultiHeadDotProductAttention_1", "LayerNorm_2", "MlpBlock_3")
NEW = ("MultiHeadDotProductAttention_0", "LayerNorm_1", "MlpBlock_0")


def _noise(shapes: dict[str, tuple[int, ...]]) -> Arrays:
    random = np.random.default_rng(0)
    scales = {name: 0.2 if name.endswith("scale") else 0.15 for name in shapes}
    return {
        name: (random.normal(size=shape) * scales[name] + name.endswith("scale")).astype(np.float32)
        for name, shape in shapes.items()
    }


def _vit(parts: tuple[str, str, str] = OLD, table: str = "Transformer/posembed_input/pos_embedding", rows: int = 17) -> Arrays:
    shapes = _shapes(parts) | {
        "cls": (1, 1, WIDTH), "embedding/kernel": (8, 8, 3, WIDTH), "embedding/bias": (WIDTH,), table: (1, rows, WIDTH),
        "head/kernel": (WIDTH, CLASSES), "head/bias": (CLASSES,),
    }  # fmt: skip
    return _noise(shapes)


def _reference(a: Arrays, images: np.ndarray, parts: tuple[str, str, str] = OLD) -> np.ndarray:
    """`vision_transformer`'s and `big_vision`'s forward, of images (N, H, W, 3)."""
    d = {name: torch.from_numpy(array).double() for name, array in a.items()}
    x = torch.from_numpy(images).double()
    x = _resnet(d, x) if "conv_root/kernel" in d else x
    x = _conv(x, d["embedding/kernel"], d["embedding/kernel"].shape[0]) + d["embedding/bias"]
    x = x.flatten(1, 2)
    if "pos_embedding" in d:
        x = x + d["pos_embedding"]
    if "cls" in d:
        x = torch.cat([d["cls"].expand(len(x), -1, -1), x], 1)
    if "Transformer/posembed_input/pos_embedding" in d:
        x = x + d["Transformer/posembed_input/pos_embedding"]
    for n in range(DEPTH):
        x = _block({k.removeprefix(f"Transformer/encoderblock_{n}/"): v for k, v in d.items()}, x, parts)
    x = _layer_norm(x, d["Transformer/encoder_norm/scale"], d["Transformer/encoder_norm/bias"])
    x = x[:, 0] if "cls" in d else x.mean(1)
    if "pre_logits/kernel" in d:
        x = torch.tanh(x @ d["pre_logits/kernel"] + d["pre_logits/bias"])
    return (x @ d["head/kernel"] + d["head/bias"]).numpy() if "head/kernel" in d else x.numpy()


def _block(d: dict[str, torch.Tensor], x: torch.Tensor, parts: tuple[str, str, str]) -> torch.Tensor:
    attention, norm, mlp = parts
    y = _layer_norm(x, d["LayerNorm_0/scale"], d["LayerNorm_0/bias"])
    q, k, v = (
        torch.einsum("ntd,dhk->nthk", y, d[f"{attention}/{name}/kernel"]) + d[f"{attention}/{name}/bias"]
        for name in ("query", "key", "value")
    )
    weights = torch.softmax(torch.einsum("nqhk,nthk->nhqt", q / math.sqrt(q.shape[-1]), k), -1)
    mixed = torch.einsum("nhqt,nthk->nqhk", weights, v)
    x = x + torch.einsum("nqhk,hkd->nqd", mixed, d[f"{attention}/out/kernel"]) + d[f"{attention}/out/bias"]
    y = _layer_norm(x, d[f"{norm}/scale"], d[f"{norm}/bias"]) @ d[f"{mlp}/Dense_0/kernel"] + d[f"{mlp}/Dense_0/bias"]
    y = 0.5 * y * (1 + torch.tanh(math.sqrt(2 / math.pi) * (y + 0.044715 * y**3)))
    return x + y @ d[f"{mlp}/Dense_1/kernel"] + d[f"{mlp}/Dense_1/bias"]


def _layer_norm(x: torch.Tensor, scale: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    centred = x - x.mean(-1, keepdim=True)
    return centred / (centred.square().mean(-1, keepdim=True) + 1e-6).sqrt() * scale + bias


def _conv(x: torch.Tensor, kernel: torch.Tensor, stride: int) -> torch.Tensor:
    """Channels last, padded as SAME: the odd pixel below and on the right."""
    excess = max(kernel.shape[0] - stride, 0)
    padded = F.pad(x.permute(0, 3, 1, 2), (excess // 2, excess - excess // 2) * 2)
    return F.conv2d(padded, kernel.permute(3, 2, 0, 1), stride=stride).permute(0, 2, 3, 1)


def _std_conv(x: torch.Tensor, kernel: torch.Tensor, stride: int = 1) -> torch.Tensor:
    centred = kernel - kernel.mean((0, 1, 2))
    return _conv(x, centred / (centred.square().mean((0, 1, 2)).sqrt() + 1e-5), stride)


def _group_norm(d: dict[str, torch.Tensor], name: str, x: torch.Tensor) -> torch.Tensor:
    n, h, w, c = x.shape
    groups = x.reshape(n, h * w, 32, c // 32)
    centred = groups - groups.mean((1, 3), keepdim=True)
    normed = centred / (centred.square().mean((1, 3), keepdim=True) + 1e-6).sqrt()
    return normed.reshape(n, h, w, c) * d[f"{name}/scale"].reshape(-1) + d[f"{name}/bias"].reshape(-1)


def _resnet(d: dict[str, torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    x = torch.relu(_group_norm(d, "gn_root", _std_conv(x, d["conv_root/kernel"], 2)))
    x = F.max_pool2d(F.pad(x.permute(0, 3, 1, 2), (0, 1, 0, 1), value=-math.inf), 3, 2).permute(0, 2, 3, 1)
    for block, units in enumerate(UNITS, start=1):
        for unit in range(1, units + 1):
            x = _unit(
                {k.removeprefix(f"block{block}/unit{unit}/"): v for k, v in d.items()}, x, 2 if block > 1 and unit == 1 else 1
            )
    return x


def _unit(d: dict[str, torch.Tensor], x: torch.Tensor, stride: int) -> torch.Tensor:
    rest = _group_norm(d, "gn_proj", _std_conv(x, d["conv_proj/kernel"], stride)) if "conv_proj/kernel" in d else x
    y = torch.relu(_group_norm(d, "gn1", _std_conv(x, d["conv1/kernel"])))
    y = torch.relu(_group_norm(d, "gn2", _std_conv(y, d["conv2/kernel"], stride)))
    return torch.relu(rest + _group_norm(d, "gn3", _std_conv(y, d["conv3/kernel"])))


UNITS, ROOT = (2, 1), 32


def _hybrid() -> Arrays:
    """R-like: 2 and 1 units on a root of 32 channels, and patches of one cell; GroupNorm as (1, 1, 1, C), as in the old files."""
    norms: dict[str, tuple[int, ...]] = {"gn_root": (ROOT,)}
    kernels: dict[str, tuple[int, ...]] = {"conv_root": (7, 7, 3, ROOT)}
    channels = ROOT
    for block, units in enumerate(UNITS):
        middle, out = ROOT * 2**block, ROOT * 2 ** (block + 2)
        for unit in range(units):
            at = f"block{block + 1}/unit{unit + 1}"
            kernels |= {
                f"{at}/conv1": (1, 1, channels, middle),
                f"{at}/conv2": (3, 3, middle, middle),
                f"{at}/conv3": (1, 1, middle, out),
            }
            norms |= {f"{at}/gn1": (middle,), f"{at}/gn2": (middle,), f"{at}/gn3": (out,)}
            if unit == 0:
                kernels[f"{at}/conv_proj"], norms[f"{at}/gn_proj"] = (1, 1, channels, out), (out,)
            channels = out
    shapes = {f"{name}/kernel": shape for name, shape in kernels.items()}
    shapes |= {f"{name}/{part}": (1, 1, 1, *shape) for name, shape in norms.items() for part in ("scale", "bias")}
    arrays = _vit() | _noise({"embedding/kernel": (1, 1, channels, WIDTH), **shapes})
    arrays["block1/unit1/conv3/kernel"][..., ::2] *= 1e-3  # deviations near the constants, where they matter, beside others
    arrays["block1/unit1/conv2/kernel"][..., 0] = 0.25  # and none at all
    return arrays


@pytest.fixture
def asked(told: Asked, with_labels: Callable[[int], Path]) -> Asked:
    return dataclasses.replace(told, labels=with_labels(CLASSES))


def _file(arrays: Arrays, folder: Path) -> Path:
    np.savez(folder / "model.npz", **arrays)
    return folder / "model.npz"


def _agree(arrays: Arrays, taken: Any, parts: tuple[str, str, str] = OLD, size: tuple[int, int] = (32, 32)) -> None:
    images = np.random.default_rng(1).normal(size=(2, *size, 3)).astype(np.float32)
    expected = _reference(arrays, images, parts)
    found = taken(torch.from_numpy(images.transpose(0, 3, 1, 2)).contiguous()).numpy()
    assert expected.std() > 0.05, "logits this flat would agree with anything"
    assert np.abs(found - expected).max() < EXACT


@pytest.mark.parametrize("parts", [OLD, NEW], ids=["numbered through", "each kind from 0"])
def test_vit(parts: tuple[str, str, str], asked: Asked, take: Any, tmp_path: Path) -> None:
    arrays = _vit(parts)
    taken = take(_file(arrays, tmp_path), asked)
    _agree(arrays, taken, parts)
    config = taken.settled.config
    assert (config.heads, config.gelu, config.pool, config.image_size) == (HEADS, "tanh", "cls", (32, 32))


def test_in21k_with_representation_and_without_head(told: Asked, take: Any, tmp_path: Path) -> None:
    arrays = _vit() | _noise({"pre_logits/kernel": (WIDTH, 24), "pre_logits/bias": (24,)})
    del arrays["head/kernel"], arrays["head/bias"]
    taken = take(_file(arrays, tmp_path), told)
    _agree(arrays, taken)
    assert (taken.settled.config.representation, taken.settled.labels) == (24, ())


def test_representation_and_head(asked: Asked, take: Any, tmp_path: Path) -> None:
    arrays = _vit() | _noise({"pre_logits/kernel": (WIDTH, 24), "pre_logits/bias": (24,), "head/kernel": (24, CLASSES)})
    _agree(arrays, take(_file(arrays, tmp_path), asked))


def test_head_left_off(told: Asked, take: Any, tmp_path: Path) -> None:
    arrays = _vit()
    taken = take(_file(arrays, tmp_path), dataclasses.replace(told, headless=True))
    _agree({name: array for name, array in arrays.items() if not name.startswith("head/")}, taken)


def test_non_square_by_option(asked: Asked, take: Any, tmp_path: Path) -> None:
    arrays = _vit(rows=19)
    with pytest.raises(BadInput, match="does not say its image size"):
        take(_file(arrays, tmp_path), asked)
    taken = take(
        _file(arrays, tmp_path),
        dataclasses.replace(asked, image_size=(24, 48), resize=dataclasses.replace(asked.resize, size=(48, 48))),
    )
    _agree(arrays, taken, size=(24, 48))


def test_big_vision_class_token_without_position(asked: Asked, take: Any, tmp_path: Path) -> None:
    """Its table is of the patches alone; its files hold the optimiser's state too."""
    arrays = _vit(NEW, "pos_embedding", 16)
    stored = {f"params/{name}": array for name, array in arrays.items()} | {"opt/count": np.array(3)}
    taken = take(_file(stored, tmp_path), asked)
    _agree(arrays, taken, NEW)
    assert "left out opt" in taken.settled.source


def test_big_vision_mean_of_the_patches(asked: Asked, take: Any, tmp_path: Path) -> None:
    arrays = _vit(NEW, "pos_embedding", 16)
    del arrays["cls"]
    taken = take(_file(arrays, tmp_path), asked)
    _agree(arrays, taken, NEW)
    assert taken.settled.config.pool == "mean"


def test_big_vision_blocks_in_one_array(asked: Asked, take: Any, tmp_path: Path) -> None:
    arrays = _vit(NEW, "pos_embedding", 16)
    stacked = {name: array for name, array in arrays.items() if "encoderblock_" not in name}
    for name in (n for n in arrays if "encoderblock_0/" in n):
        parts = [arrays[name.replace("encoderblock_0", f"encoderblock_{n}")] for n in range(DEPTH)]
        stacked[name.replace("encoderblock_0", "encoderblock")] = np.stack(parts)
    _agree(arrays, take(_file(stacked, tmp_path), asked), NEW)


def test_sines_are_said_by_an_option(asked: Asked, take: Any, tmp_path: Path) -> None:
    """`big_vision` fixes its positions in code: the file has neither table nor size."""
    arrays = _vit(NEW, "pos_embedding", 16)
    del arrays["cls"], arrays["pos_embedding"]
    with pytest.raises(BadInput, match=r"does not say its image size, positions$"):
        take(_file(arrays, tmp_path), asked)
    taken = take(_file(arrays, tmp_path), dataclasses.replace(asked, image_size=(32, 32), positions="sincos"))
    y, x = np.mgrid[:4, :4]
    omega = 1 / 10_000.0 ** (np.arange(WIDTH // 4) / (WIDTH // 4 - 1))
    y, x = (np.einsum("m,d->md", place.flatten(), omega) for place in (y, x))
    sines = np.concatenate([np.sin(x), np.cos(x), np.sin(y), np.cos(y)], axis=1)[None].astype(np.float32)
    _agree({**arrays, "pos_embedding": sines}, taken, NEW)
    plain = take(_file(arrays, tmp_path), dataclasses.replace(asked, image_size=(32, 32), positions="none"))
    _agree(arrays, plain, NEW)


def test_hybrid(asked: Asked, take: Any, tmp_path: Path) -> None:
    arrays = _hybrid()
    taken = take(_file(arrays, tmp_path), asked)
    _agree(arrays, taken)
    config = taken.settled.config
    assert config.stem and config.stem.layers == UNITS and config.patch == 8 and config.stem.norm_eps == 1e-6


def test_hybrid_needs_its_kernels_scaled(asked: Asked, take: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Were the other constant overlooked, the test above would have to fail: here it is, by force."""
    from edgevit.vit.foreign import standardised

    monkeypatch.setattr(standardised, "from_deviation", lambda kernel: kernel)
    with pytest.raises(AssertionError):
        _agree(_hybrid(), take(_file(_hybrid(), tmp_path), asked))


def test_a_root_without_stages_is_named(asked: Asked, take: Any, tmp_path: Path) -> None:
    """Google's R+Ti/16, whose ResNet is its first convolution and no more."""
    arrays = {name: a for name, a in _hybrid().items() if not name.startswith("block")}
    with pytest.raises(BadInput, match=r"such as R\+Ti/16, is not supported") as caught:
        take(_file(arrays, tmp_path), asked)
    assert "R50+B/16" in caught.value.hint


def test_heads_that_the_tensors_show(asked: Asked, take: Any, tmp_path: Path) -> None:
    taken = take(_file(_vit(), tmp_path), dataclasses.replace(asked, heads=HEADS))
    assert taken.settled.config.heads == HEADS
    with pytest.raises(BadInput, match=r"--heads is 3, but the weights of .* have 4"):
        take(tmp_path / "model.npz", dataclasses.replace(asked, heads=3))


@pytest.mark.parametrize("kind", ["float16", "float64", "bfloat16", "column order", "compressed", "big endian"])
def test_ways_to_store(kind: str, asked: Asked, take: Any, tmp_path: Path) -> None:
    arrays = _vit()
    if kind == "bfloat16":
        stored = {name: torch.from_numpy(a).bfloat16().view(torch.int16).numpy().view("V2") for name, a in arrays.items()}
        arrays = {name: torch.from_numpy(a).bfloat16().float().numpy() for name, a in arrays.items()}
    elif kind == "float16":
        stored = {name: a.astype(np.float16) for name, a in arrays.items()}
        arrays = {name: a.astype(np.float32) for name, a in stored.items()}
    else:
        change = {
            "float64": lambda a: a.astype(np.float64),
            "column order": np.asfortranarray,
            "big endian": lambda a: a.astype(">f4"),
        }
        stored = {name: change.get(kind, np.asarray)(a) for name, a in arrays.items()}
    (np.savez_compressed if kind == "compressed" else np.savez)(tmp_path / "model.npz", **stored)
    _agree(arrays, take(tmp_path / "model.npz", asked))


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        (
            "Transformer/encoderblock_1/MlpBlock_3/Dense_0/bias",
            None,
            "missing tensor: Transformer/encoderblock_1/MlpBlock_3/Dense_0/bias",
        ),
        ("MAPHead_0/probe", (1, 1, 48), "unexpected tensor: MAPHead_0/probe"),
        ("surprise", (2,), "unexpected tensor: surprise"),
        (
            "Transformer/encoderblock_2/MultiHeadDotProductAttention_1/key/kernel",
            (48, 3, 16),
            r"key/kernel has shape \(48, 3, 16\), expected \(48, 4, 12\)",
        ),
        ("embedding/kernel", (8, 16, 3, 48), "patches of 8x16"),
        ("embedding/kernel", (8, 8, 1, 48), r"embedding/kernel has shape \(8, 8, 1, 48\), expected \(8, 8, 3, 48\)"),
        ("embedding/kernel", (48,), "embedding/kernel has shape"),
        ("head/bias", (6,), r"head/bias has shape \(6,\), expected \(5,\)"),
        ("Transformer/encoderblock/LayerNorm_0/scale", (10**6, 1), "unexpected tensor"),
    ],
)
def test_damaged_tensors_are_named(
    name: str, change: tuple[int, ...] | None, words: str, asked: Asked, take: Any, tmp_path: Path
) -> None:
    arrays = _vit()
    arrays.pop(name, None)
    if change is not None:
        arrays[name] = np.ones(change, np.float32)
    with pytest.raises(DamagedFile, match=words):
        take(_file(arrays, tmp_path), asked)


def test_nan_is_named(asked: Asked, take: Any, tmp_path: Path) -> None:
    arrays = _vit()
    arrays["cls"][0, 0, 5] = np.nan
    with pytest.raises(DamagedFile, match="cls holds NaN or infinity"):
        take(_file(arrays, tmp_path), asked)


def test_all_that_is_missing_is_named_at_once(take: Any, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"does not say its mean, std, resize, interpolation, labels$"):
        take(_file(_vit(), tmp_path))
