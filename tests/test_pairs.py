"""Which artifacts the names of targets and recipes mean."""

from __future__ import annotations

import dataclasses

import pytest

import targets
from edgevit import pipeline
from edgevit.errors import BadInput, NotInstalled
from edgevit.types import Library


def test_all_means_every_target_whose_answers_can_be_checked() -> None:
    every = {pair.target for pair in pipeline.pairs(["all"], ["fp32"])}
    assert every == {"executorch", "coreml", "coreml-ios18", "tflite", "tflite-gpu", "executorch-coreml"}


def test_what_all_leaves_out_is_told_unless_it_is_named() -> None:
    assert [place.name for place in pipeline.left_out(["all"])] == ["executorch-vulkan"]
    assert all(place.by_name_only for place in pipeline.left_out(["all"]))
    assert pipeline.left_out(["all", "executorch-vulkan"]) == pipeline.left_out(["tflite"]) == []
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
