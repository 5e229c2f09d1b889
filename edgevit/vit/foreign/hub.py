"""Weights by name from the Hugging Face Hub, through its own library and cache. `HF_HUB_OFFLINE=1` keeps to the cache."""

from __future__ import annotations

import re
from pathlib import Path

from edgevit.errors import BadInput, EdgevitError
from edgevit.types import Progress

NAME = re.compile(r"(?P<repo>[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)(@(?P<revision>[\w./-]+))?")
"""owner/name, or owner/name@revision."""

FIRST = ["*.safetensors", "*.safetensors.index.json", "*.npz", "config.json", "preprocessor_config.json"]
LAST = ["*.bin", "*.pth"]
"""Pickles, only where there is nothing better."""


def means(source: str) -> bool:
    """Whether `source` is a name on the Hub, rather than a path: one that ends as a weight file does is a path, there or not."""
    from edgevit.vit.foreign.files import KINDS

    return NAME.fullmatch(source) is not None and not source.lower().endswith(tuple(KINDS)) and not Path(source).exists()


def downloaded(source: str, progress: Progress) -> tuple[Path, str]:
    """The folder of the cache that holds `source`, and its name with the revision. Raises BadInput, EdgevitError."""
    match = NAME.fullmatch(source)
    assert match
    progress(f"fetching {source}", 0, None)
    folder = _snapshot(match["repo"], match["revision"], FIRST)
    if not _whole(folder, FIRST):
        folder = _snapshot(match["repo"], match["revision"], [*FIRST, *LAST])
    if not _whole(folder, [*FIRST, *LAST]):
        raise _absent(match["repo"])
    return folder, f"{match['repo']}@{folder.name}"


def _whole(folder: Path, patterns: list[str]) -> bool:
    """Whether weights are there, and all the shards that an index names where they come in shards."""
    from edgevit.vit.foreign.files import INDEX, WHOLE, ShardIndex, read_config

    if not (folder / WHOLE).is_file() and (folder / INDEX).is_file():
        return all((folder / name).is_file() for name in read_config(folder, INDEX, ShardIndex).weight_map.values())
    return any(file for pattern in patterns if not pattern.endswith(".json") for file in folder.glob(pattern))


def _absent(repo: str) -> EdgevitError:
    """What to say where only some files of a repository are here: without a network its library is content with those."""
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return EdgevitError(f"its weights are not in the cache, and the Hugging Face Hub cannot be reached: {repo}", _way_out())
    hint = "where it has some, look to the network; those in its folders are not fetched, but a path to a file of them is taken"
    return BadInput(f"no weights at the top of {repo} on the Hugging Face Hub, nor in the cache", hint)


def _snapshot(repo: str, revision: str | None, patterns: list[str]) -> Path:
    """Files at the top of the repository alone: folders below it hold other forms of the same weights."""
    import huggingface_hub
    from huggingface_hub import errors

    try:
        return Path(huggingface_hub.snapshot_download(repo, revision=revision, allow_patterns=patterns, ignore_patterns=["*/*"]))
    except errors.GatedRepoError as error:
        raise BadInput(
            f"its owner must let you in first: {repo}", f"ask at https://huggingface.co/{repo}, then: hf auth login"
        ) from error
    except (errors.RepositoryNotFoundError, errors.RevisionNotFoundError, errors.HFValidationError) as error:
        name = repo if revision is None else f"{repo}@{revision}"
        raise BadInput(
            f"no such model on the Hugging Face Hub, or a private one: {name}", "hf auth login opens private ones"
        ) from error
    except (errors.LocalEntryNotFoundError, errors.OfflineModeIsEnabled) as error:
        raise EdgevitError(f"not in the cache, and the Hugging Face Hub cannot be reached: {repo}", _way_out()) from error
    except Exception as error:  # it lets those of its own HTTP library through
        line = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
        raise EdgevitError(f"the Hugging Face Hub does not give {repo}: {line}", _way_out()) from error


def _way_out() -> str:
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return "HF_HUB_OFFLINE is set: unset it to fetch, or give the path of a folder"
    return "look to the network, or give the path of a folder that you fetched elsewhere"
