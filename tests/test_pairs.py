"""Which artifacts the names of targets and recipes mean."""

from __future__ import annotations

import dataclasses

import pytest

import quantize
import targets
from edgevit import pipeline
from edgevit.errors import BadInput, NotInstalled
from edgevit.types import Library, Merge
from edgevit.vit.config import config


def test_all_means_every_target_whose_answers_can_be_checked() -> None:
    every = {pair.target for pair in pipeline.pairs(["all"], ["fp32"])}
    assert every == {"executorch", "coreml", "coreml-ios18", "tflite", "tflite-gpu", "executorch-coreml"}


NAMED_ALONE = ["tflite-legacy", "executorch-vulkan", "coreml-ios16"]


def test_what_all_leaves_out_is_told_unless_it_is_named() -> None:
    assert [place.name for place in pipeline.left_out(["all"])] == NAMED_ALONE
    assert all(place.by_name_only for place in pipeline.left_out(["all"]))
    assert pipeline.left_out(["all", *NAMED_ALONE]) == pipeline.left_out(["tflite"]) == []
    assert pipeline.Pair("executorch-vulkan", "fp32") in pipeline.pairs(["all", "executorch-vulkan"], ["fp32"])


def test_all_recipes_are_those_that_a_target_holds() -> None:
    assert [pair.name for pair in pipeline.pairs(["executorch-vulkan"], ["all"])] == [
        "executorch-vulkan-fp32",
        "executorch-vulkan-fp16",
    ]


def test_a_recipe_that_a_named_target_does_not_hold_is_refused() -> None:
    with pytest.raises(BadInput, match="executorch-vulkan does not hold int8"):
        pipeline.pairs(["executorch-vulkan"], ["int8"])


def test_every_absent_library_is_in_the_line_that_installs_them() -> None:
    needs = (Library("no_such_one", "executorch"), Library("no_such_other", "coreml"), Library("no_such_third", "coreml"))
    with pytest.raises(NotInstalled) as caught:
        targets.require(dataclasses.replace(targets.get("executorch-coreml"), needs=needs))
    assert caught.value.hint == "pip install 'edgevit[executorch,coreml]'"


def test_patches_are_merged_for_each_share() -> None:
    shape = config("Pico/8", (32, 32), 5)
    made = pipeline.merged([pipeline.Pair("tflite", "int8")], shape, [1.0, 0.5, 1.0])
    assert [pair.name for pair in made] == ["tflite-int8", "tflite-int8-8patches"]
    assert made[1].merges == (Merge(1, 11), Merge(2, 8))


@pytest.mark.parametrize("target", ["coreml-ane", "executorch-vulkan", "tflite-gpu", "tflite-npu"])
def test_a_target_that_cannot_merge_says_so(target: str) -> None:
    shape = config("Pico/8", (32, 32), 5)
    with pytest.raises(BadInput, match=f"{target} cannot merge patches") as caught:
        pipeline.merged([pipeline.Pair(target, "fp16")], shape, [0.5])
    assert "executorch" in str(caught.value.hint) and target not in str(caught.value.hint).split(", ")
    with pytest.raises(BadInput, match="cannot merge"):
        pipeline.merged([pipeline.Pair(target, "fp16")], dataclasses.replace(shape, merges=(Merge(1, 12),)), [1.0])


def test_a_pair_that_says_nothing_of_merges_has_those_of_the_checkpoint() -> None:
    shape = dataclasses.replace(config("Pico/8", (32, 32), 5), merges=(Merge(1, 12),))
    assert pipeline.Pair("tflite", "fp32").of(shape).name == "tflite-fp32-12patches"
    assert pipeline.Pair("tflite", "fp32", ()).of(shape).name == "tflite-fp32"
    with pytest.raises(BadInput, match="cannot merge"):
        pipeline.Pair("tflite-gpu", "fp32").of(shape)


def test_a_checkpoint_that_merges_keeps_its_merges() -> None:
    shape = dataclasses.replace(config("Pico/8", (32, 32), 5), merges=(Merge(1, 12),))
    assert pipeline.merged([pipeline.Pair("tflite", "fp32")], shape, [1.0]) == [pipeline.Pair("tflite", "fp32", (Merge(1, 12),))]
    with pytest.raises(BadInput, match="merges patches already"):
        pipeline.merged([pipeline.Pair("tflite", "fp32")], shape, [0.5])


@pytest.mark.parametrize(
    ("target", "recipe", "wider"),
    [("tflite", "fp32", False), ("tflite", "int8", False), ("coreml", "fp16", True), ("coreml", "int8", True)],
)
def test_what_merges_may_answer_otherwise_and_compute_no_worse(target: str, recipe: str, wider: bool) -> None:
    """A file must still compute its own function; in half precision alone a rank may fall the other way."""
    place = targets.get(target)
    plain, merged = (targets.tolerance(place, quantize.get(recipe), merges) for merges in (False, True))
    assert plain == place.recipes[recipe]
    assert merged.drop > plain.drop and merged.agreement < plain.agreement
    assert (merged.relative_error > plain.relative_error) == wider


def test_a_recipe_whose_groups_do_not_fit_is_refused_and_all_leaves_it_out() -> None:
    """Nano is 96 wide: in groups of 32 it can be divided, of 64 and 128 not."""
    shape = config("Nano/8", (32, 32), 5)
    assert shape.width == 96
    with pytest.raises(BadInput, match="int4-g64 wants inputs in groups of 64, and the model has Linears with 96") as caught:
        pipeline.Pair("tflite", "int4-g64").of(shape)
    assert "int4-g32" in caught.value.hint and "int4-g128" not in caught.value.hint
    made = [pair.recipe for pair in pipeline.pairs(["tflite"], ["all"], shape)]
    assert made == ["fp32", "int8", "int8-static", "int4", "int4-g32"]
    wider = [pair.recipe for pair in pipeline.pairs(["tflite"], ["all"], config("B/16", (224, 224), 5))]
    assert {"int4-g64", "int4-g128"} <= set(wider)
