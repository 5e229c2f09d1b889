"""Names on the Hugging Face Hub: the cache, offline, a revision, and what is said when it cannot be reached."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from edgevit.errors import BadInput, EdgevitError
from edgevit.types import Checkpoint, Preprocess, silent
from edgevit.vit.config import config as named_config
from edgevit.vit.foreign import hub
from edgevit.vit.foreign.to_timm import written
from edgevit.vit.model import ViT

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def cached(shuffle: Callable[..., Any], tmp_path: Path) -> Path:
    """The folder of a Hub library's cache (HF_HOME) that holds somebody/tiny."""
    model = shuffle(ViT(named_config("Pico/8", (32, 32), 3)))
    found = written(model, Checkpoint(model.config, Preprocess((36, 36), (32, 32)), ("a", "b", "c"), {}, "", {}))
    place = tmp_path / "home" / "hub" / "models--somebody--tiny"
    snapshot = place / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    (place / "refs").mkdir()
    (place / "refs" / "main").write_text(COMMIT)
    safetensors.torch.save_file(found.tensors, snapshot / "model.safetensors")
    (snapshot / "config.json").write_text(json.dumps(found.files["config.json"]))
    return tmp_path / "home"


def test_what_is_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names = ("google/vit-base-patch16-224", "timm/vit_base_patch16_224.augreg_in21k", "owner/name@v1.0", f"owner/name@{COMMIT}")
    assert all(hub.means(name) for name in names)
    paths = (
        "name",
        "/owner/name",
        "./owner/name",
        "../name",
        "a/b/c",
        "owner/name@",
        "~/x",
        "owner/",
        "https://huggingface.co/a/b",
    )
    assert not any(hub.means(path) for path in paths)
    (tmp_path / "owner").mkdir()
    (tmp_path / "owner" / "name").mkdir()
    assert not hub.means("owner/name"), "what is there is meant"


def test_from_the_cache_without_a_network(cached: Path, run_cli: Any, tmp_path: Path) -> None:
    env = {"HF_HOME": str(cached), "HF_HUB_OFFLINE": "1"}
    ran = run_cli("import", "somebody/tiny", "--out", tmp_path / "out", "--json", env=env)
    assert ran.returncode == 0, ran.stderr
    made = json.loads(ran.stdout)
    assert made["labels"] == ["a", "b", "c"] and f"somebody/tiny@{COMMIT}" in made["source"]


def test_a_file_that_is_not_there_is_no_name_on_the_hub(run_cli: Any, tmp_path: Path) -> None:
    for source in ("weights/vit.npz", "models/model.safetensors", "out/vit.PTH"):
        assert not hub.means(source)
    ran = run_cli("import", "weights/vit.npz", "--out", tmp_path / "out", env={"HF_HUB_OFFLINE": "1"})
    assert ran.returncode == 2 and "no such file or folder: weights/vit.npz" in ran.stderr


def test_only_the_config_is_in_the_cache(cached: Path, run_cli: Any, tmp_path: Path) -> None:
    (cached / "hub" / "models--somebody--tiny" / "snapshots" / COMMIT / "model.safetensors").unlink()
    env = {"HF_HOME": str(cached), "HF_HUB_OFFLINE": "1"}
    ran = run_cli("import", "somebody/tiny", "--out", tmp_path / "out", env=env)
    assert ran.returncode == 1 and "its weights are not in the cache" in ran.stderr and "HF_HUB_OFFLINE is set" in ran.stderr
    assert str(cached) not in ran.stderr


def test_only_some_shards_are_in_the_cache(cached: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    folder = cached / "hub" / "models--somebody--tiny" / "snapshots" / COMMIT
    (folder / "model.safetensors").rename(folder / "model-1.safetensors")
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda *args, **kwargs: str(folder))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    for second, there in (("model-2.safetensors", False), ("model-1.safetensors", True)):
        index = {"weight_map": {"x": "model-1.safetensors", "y": second}}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index))
        if there:
            assert hub.downloaded("somebody/tiny", silent)[0] == folder
        else:
            with pytest.raises(EdgevitError, match="its weights are not in the cache"):
                hub.downloaded("somebody/tiny", silent)


def test_a_repository_without_weights(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import huggingface_hub

    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda *args, **kwargs: str(tmp_path))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    with pytest.raises(BadInput, match="no weights at the top of somebody/data"):
        hub.downloaded("somebody/data", silent)


def test_not_in_the_cache_and_no_network(run_cli: Any, tmp_path: Path) -> None:
    env = {"HF_HOME": str(tmp_path / "home"), "HF_HUB_OFFLINE": "1"}
    ran = run_cli("import", "somebody/tiny", "--out", tmp_path / "out", env=env)
    assert ran.returncode == 1 and not (tmp_path / "out").exists()
    assert "error: not in the cache, and the Hugging Face Hub cannot be reached: somebody/tiny" in ran.stderr
    assert "HF_HUB_OFFLINE is set" in ran.stderr and "Traceback" not in ran.stderr


def test_no_network_without_being_told(run_cli: Any, tmp_path: Path) -> None:
    """A place where nobody listens stands in for a network that is down."""
    env = {"HF_HOME": str(tmp_path / "home"), "HF_ENDPOINT": "http://127.0.0.1:9", "HF_HUB_OFFLINE": "0", "NO_PROXY": "*"}
    ran = run_cli("import", "somebody/tiny", "--out", tmp_path / "out", env=env)
    assert ran.returncode == 1 and "the Hugging Face Hub cannot be reached: somebody/tiny" in ran.stderr
    assert "look to the network" in ran.stderr and "Traceback" not in ran.stderr


def test_pickles_are_fetched_last(cached: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The first request has no pickle in it; where it brought no weights, the second one has."""
    import huggingface_hub

    asked = []

    def snapshot(repo: str, *, revision: str | None, allow_patterns: list[str], ignore_patterns: list[str]) -> str:
        asked.append((repo, revision, allow_patterns, ignore_patterns))
        if len(asked) > 1:
            torch.save({"x": torch.ones(2)}, tmp_path / "pytorch_model.bin")
        return str(tmp_path)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
    hub.downloaded("somebody/old@v2", silent)
    assert [(repo, revision) for repo, revision, *_ in asked] == [("somebody/old", "v2")] * 2
    assert not any(".bin" in pattern or ".pth" in pattern for pattern in asked[0][2]) and "*.bin" in asked[1][2]
    assert all(ignored == ["*/*"] for *_, ignored in asked)


@pytest.mark.parametrize(
    ("kind", "error", "words"),
    [
        ("RepositoryNotFoundError", BadInput, "no such model on the Hugging Face Hub"),
        ("GatedRepoError", BadInput, "its owner must let you in first"),
        ("RevisionNotFoundError", BadInput, "no such model on the Hugging Face Hub.*somebody/tiny@v9"),
        ("HfHubHTTPError", EdgevitError, "does not give somebody/tiny: it says no"),
    ],
)
def test_what_the_hub_answers(kind: str, error: type[Exception], words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub
    from huggingface_hub import errors

    def refuse(*args: object, **kwargs: object) -> str:
        problem = getattr(errors, kind).__new__(getattr(errors, kind))
        Exception.__init__(problem, "it says no")
        raise problem

    monkeypatch.setattr(huggingface_hub, "snapshot_download", refuse)
    with pytest.raises(error, match=words):
        hub.downloaded("somebody/tiny@v9", silent)
