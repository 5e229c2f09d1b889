"""A folder that `transformers` opens: model.safetensors, config.json, preprocessor_config.json.

The names are those of the files on the Hub, which every version of `transformers` reads.
"""

from __future__ import annotations

from torch import Tensor

from edgevit.errors import BadInput
from edgevit.types import Checkpoint, Preprocess, ViTConfig
from edgevit.vit.foreign.huggingface import OLD, PATCHES
from edgevit.vit.foreign.huggingface_pixels import FILE, RESAMPLE
from edgevit.vit.foreign.written import Written, position_notes, refuse, table
from edgevit.vit.model import ViT


def written(model: ViT, checkpoint: Checkpoint) -> Written:
    """Raises BadInput for what `transformers`' ViT and DeiT do not have, and for preprocessing that its config cannot say."""
    config = model.config
    wrong = {
        "pooling by the mean": config.pool == "mean",
        "registers": config.registers > 0,
        "merging of patches": bool(config.merges),
        "ResNet before them": config.stem is not None,
        "representation layer before a head": config.representation > 0 and config.classes > 0,
    }
    refuse(wrong, "transformers' ViT")
    files: dict[str, object] = {"config.json": _config(config, checkpoint.labels), FILE: _processor(checkpoint.preprocess)}
    return Written(_tensors(model), files, tuple(position_notes(model)))


def _tensors(model: ViT) -> dict[str, Tensor]:
    config, ours = model.config, model.state_dict()
    prefix = "" if not config.classes else "deit." if config.pool == "distilled" else "vit."
    found = {f"{prefix}embeddings.cls_token": ours["cls_token"], f"{prefix}embeddings.position_embeddings": table(model)}
    if config.pool == "distilled":
        found[f"{prefix}embeddings.distillation_token"] = ours["dist_token"]
    for part in ("weight", "bias"):
        found[f"{prefix}{PATCHES.removesuffix('weight')}{part}"] = ours[f"patch_embed.proj.{part}"]
        found[f"{prefix}layernorm.{part}"] = ours[f"norm.{part}"]
        for n in range(config.depth):
            found |= _block(ours, f"blocks.{n}.", f"{prefix}encoder.layer.{n}.", part)
        for name, theirs in _heads(config).items():
            found[f"{theirs}.{part}"] = ours[f"{name}.{part}"]
    return {name: tensor.contiguous() for name, tensor in found.items()}


def _heads(config: ViTConfig) -> dict[str, str]:
    if config.representation:
        return {"pre_logits": "pooler.dense"}
    if not config.classes:
        return {}
    return (
        {"head": "cls_classifier", "head_dist": "distillation_classifier"}
        if config.pool == "distilled"
        else {"head": "classifier"}
    )


def _block(ours: dict[str, Tensor], block: str, theirs: str, part: str) -> dict[str, Tensor]:
    names = {
        "norm1": "layernorm_before",
        "norm2": "layernorm_after",
        "attn.proj": OLD["proj"],
        "mlp.fc1": OLD["fc1"],
        "mlp.fc2": OLD["fc2"],
    }
    found = {f"{theirs}{name}.{part}": ours[f"{block}{own}.{part}"] for own, name in names.items()}
    thirds = ours[f"{block}attn.qkv.{part}"].chunk(3)
    return found | {f"{theirs}{OLD[letter]}.{part}": third.clone() for letter, third in zip("qkv", thirds, strict=True)}


def _config(config: ViTConfig, labels: tuple[str, ...]) -> dict[str, object]:
    kind = "DeiT" if config.pool == "distilled" else "ViT"
    model = "ForImageClassification" if config.classes else "Model"
    model = "ForImageClassificationWithTeacher" if kind == "DeiT" else model  # its encoder alone is one without a teacher, too
    height, width = config.image_size
    return {
        "architectures": [f"{kind}{model}"],
        "model_type": kind.lower(),
        "hidden_size": config.width,
        "num_hidden_layers": config.depth,
        "num_attention_heads": config.heads,
        "intermediate_size": config.mlp,
        "hidden_act": "gelu_pytorch_tanh" if config.gelu == "tanh" else "gelu",
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
        "layer_norm_eps": config.norm_eps,
        "image_size": height if height == width else [height, width],
        "patch_size": config.patch,
        "num_channels": 3,
        "qkv_bias": True,
        "encoder_stride": config.patch,
        "torch_dtype": "float32",
        **({"pooler_output_size": config.representation, "pooler_act": "tanh"} if config.representation else {}),
        **({"id2label": dict(enumerate(labels)), "label2id": {name: n for n, name in enumerate(labels)}} if labels else {}),
    }


def _processor(preprocess: Preprocess) -> dict[str, object]:
    """ViT's and DeiT's processors squash; BiT's keeps the aspect and takes the short side."""
    keep, (height, width), crop = preprocess.aspect == "keep", preprocess.resize, preprocess.crop
    if keep and height != width:
        raise BadInput(f"transformers' processors cannot keep the aspect while they cover {height}x{width}", "try --format timm")
    kind = "Bit" if keep else "ViT" if preprocess.resize == crop else "DeiT"
    return {
        "image_processor_type": f"{kind}ImageProcessor",
        "do_resize": True,
        "size": {"shortest_edge": height} if keep else {"height": height, "width": width},
        "resample": next(code for code, name in RESAMPLE.items() if name == preprocess.interpolation),
        "do_center_crop": kind != "ViT",
        **({} if kind == "ViT" else {"crop_size": {"height": crop[0], "width": crop[1]}}),
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": list(preprocess.mean),
        "image_std": list(preprocess.std),
        "do_convert_rgb": True,
    }
