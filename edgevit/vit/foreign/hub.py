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
    """Whether `source` is a name on the Hub, rather than a path."""
    return NAME.fullmatch(source) is not None and not Path(source).exists()


def downloaded(source: str, progress: Progress) -> tuple[Path, str]:
    """The folder of the cache that holds `source`, and its name with the revision. Raises BadInput, EdgevitError."""
    match = NAME.fullmatch(source)
    assert match
    progress(f"fetching {source}", 0, None)
    folder = _snapshot(match["repo"], match["revision"], FIRST)
    if not [*folder.glob("*.safetensors"), *folder.glob("*.npz")]:
        folder = _snapshot(match["repo"], match["revision"], [*FIRST, *LAST])
    return folder, f"{match['repo']}@{folder.name}"


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
