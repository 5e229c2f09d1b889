"""The commands that show what there is: targets, recipes, models, doctor, cache."""

from __future__ import annotations

import typer

from edgevit.cli import console
from edgevit.cli.app import command
from edgevit.cli.options import size
from edgevit.errors import BadInput
from edgevit.types import Size, ViTConfig

Json = typer.Option(False, "--json", help="Print JSON, for machines.")


@command
def targets(json: bool = Json) -> None:
    """Where a model can run, and which recipes each place holds."""
    import targets as places

    if json:
        console.json([{**_record(t), "missing": [lib.module for lib in places.missing(t)]} for t in places.all_targets()])
        return
    rows = [[t.name, t.summary, ", ".join(t.recipes), _state(places.missing(t)), t.runtime] for t in places.all_targets()]
    console.table("Targets", ("name", "what", "recipes", "installed", "runs here by"), rows)


def _record(target: object) -> dict[str, object]:
    from edgevit import record

    plain: dict[str, object] = record.builtins(target)
    return plain


def _state(missing: tuple[object, ...]) -> str:
    return "no: " + ", ".join(lib.module for lib in missing) if missing else "yes"  # type: ignore[attr-defined]


@command
def recipes(json: bool = Json) -> None:
    """How a model can be quantized, and which targets hold it."""
    import quantize
    import targets as places

    known = quantize.RECIPES.values()
    holders = {r.name: [t.name for t in places.all_targets() if not places.lacks(t, r)] for r in known}
    if json:
        console.json([{**_record(r), "targets": holders[r.name]} for r in known])
        return
    rows = [[r.name, r.summary, r.float_layers or "all", ", ".join(holders[r.name])] for r in known]
    console.table("Recipes", ("name", "what", "stays in float", "targets"), rows)


@command
def models(
    image_size: str | None = typer.Option(
        None, help="Pixels, 224 or 192x256: the models whose patch divides it. Default: all, at their usual sizes."
    ),
    classes: int = typer.Option(1000, min=1),
    json: bool = Json,
) -> None:
    """The variants of the Vision Transformer, with their parameters and multiply-adds."""
    from edgevit.vit.config import multiply_adds, parameters, shown

    configs, left_out = _configs(size(image_size), classes)
    if left_out:
        console.note(f"left out, since their patch does not divide image size {image_size}: {', '.join(left_out)}")
    found = [{**_record(c), "parameters": parameters(c), "multiply_adds": multiply_adds(c)} for c in configs]
    if json:
        console.json(found)
        return
    rows = [
        [c.variant, shown(c.image_size), str(c.width), str(c.depth), str(c.heads), str(c.mlp), f"{parameters(c) / 1e6:.2f} M",
         f"{multiply_adds(c) / 1e9:.3g} G", _source(c)]
        for c in configs
    ]  # fmt: skip
    columns = ("name", "image", "width", "depth", "heads", "mlp", "params", "mult-adds", "from")
    console.table(f"Models, {classes} classes", columns, rows)


def _configs(asked: Size | None, classes: int) -> tuple[list[ViTConfig], list[str]]:
    """The variants at the size that was asked for, and the names of those whose patch does not divide it. Raises BadInput."""
    from edgevit.vit.config import NAMES, config, parts, shown

    sizes = {name: asked or _usual_size(name) for name in NAMES}
    fit = [name for name, sides in sizes.items() if all(side % parts(name)[1] == 0 for side in sides)]
    if asked and not fit:
        smallest = min(parts(name)[1] for name in NAMES)
        raise BadInput(f"no model's patch divides image size {shown(asked)}", f"take a multiple of {smallest}")
    return [config(name, sizes[name], classes) for name in fit], [name for name in NAMES if name not in fit]


def _source(config: ViTConfig) -> str:
    """Ours, or the paper that an encoder is of; JSON and the documentation say more."""
    from edgevit.vit.config import ENCODERS

    return ENCODERS[config.variant.rpartition("+")[2].partition("/")[0]].source.partition(",")[0].partition(":")[0]


def _usual_size(name: str) -> Size:
    side = 32 if any(small in name for small in ("Pico", "Nano", "Micro")) else 224
    return side, side


@command
def doctor(json: bool = Json) -> None:
    """What this machine has and lacks: Python, torch, GPU, back ends, space."""
    from edgevit.doctor import examine

    with console.progress() as progress:
        findings = examine(progress)
    if json:
        console.json(findings)
        return
    rows = [[f.what, f.found, f.advice] for f in findings]
    console.table("This machine", ("what", "found", "advice"), rows)


@command
def cache(clear: bool = typer.Option(False, "--clear", help="Remove all of it."), json: bool = Json) -> None:
    """What earlier commands left to be reused, stages, decoded pixels and fetched shards: where it is, and how large."""
    from edgevit import cache as caches

    place = caches.place()
    if place is None:
        raise BadInput("no cache: HOME, XDG_CACHE_HOME and EDGEVIT_CACHE name no folder", "set one of them")
    count, size_ = caches.clear(place) if clear else caches.held(place)
    if json:
        console.json({"folder": str(place), "cleared": clear, "entries": count, "bytes": size_, "limit": caches.limit_bytes()})
        return
    what = f"{count} entries, {size_ / 1e6:.1f} MB"
    console.out(f"{place}: {what} removed" if clear else f"{place}: {what}; of stages at most {caches.limit_bytes() / 1e9:g} GB")
