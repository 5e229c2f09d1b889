"""Ready-made code for an app, written into an artifact: this model's own preprocessing and its runtime, in the app's language.

What goes into the templates are numbers and names from closed sets, never a text of the record: that may come from others, and
the Python code is run. Labels stand beside the code, as JSON.
"""

from __future__ import annotations

import json
import re
import struct
from pathlib import Path

from edgevit.app.files import APPS, App, Code
from edgevit.errors import DamagedFile
from edgevit.types import Artifact, Input

__all__ = ["FOLDER", "LABELS", "PYTHON", "differing", "write"]

FOLDER = "app"
LABELS = "labels.json"
PYTHON = "classify.py"
TEMPLATES = Path(__file__).parent / "templates"
PLAIN = re.compile(r"\w[\w.-]*", re.ASCII)
"""A model file whose name needs no quoting in any language."""


def write(artifact: Artifact, apps: tuple[str, ...], into: Path) -> None:
    """Write the code of `apps` for the model of `artifact` into the new folder `into`; nothing where there are none.

    Raises DamagedFile for a record whose model file has a name that export gives none.
    """
    written = [(app, code) for app in (APPS[name] for name in apps) for code in app.files if artifact.input in code.inputs]
    if not written:
        return
    into.mkdir(parents=True)
    for app, code in written:
        (into / code.file).write_text(_rendered(code.template, artifact, app), "utf-8")
    (into / LABELS).write_text(json.dumps(artifact.labels, ensure_ascii=False, indent=0) + "\n", "utf-8")
    (into / "README.md").write_text(_rendered("README.md", artifact, written[0][0], [code for _, code in written]), "utf-8")


def differing(made: Path, given: Path) -> list[str]:
    """The files of the folder `made` that the folder `given` does not hold byte for byte, and what it holds besides."""
    names = sorted({path.relative_to(folder).as_posix() for folder in (made, given) for path in folder.rglob("*")})
    return [name for name in names if not _same(made / name, given / name)]


def _same(a: Path, b: Path) -> bool:
    sizes = [path.stat().st_size for path in (a, b) if path.is_file() and not path.is_symlink()]
    return len(sizes) == 2 and sizes[0] == sizes[1] and a.read_bytes() == b.read_bytes()


def _rendered(template: str, artifact: Artifact, app: App, files: list[Code] | None = None) -> str:
    import jinja2

    house = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True,
        keep_trailing_newline=True, autoescape=False,
    )  # fmt: skip
    house.filters.update(float=literal, float_c=lambda x: f"{literal(x)}f")
    return house.get_template(f"{template}.jinja").render(files=files, **_facts(artifact, app))


def _facts(artifact: Artifact, app: App) -> dict[str, object]:
    """What templates ask for: they are the only ones who read it."""
    from edgevit.data import decoding, preprocess

    steps, file = artifact.preprocess, artifact.file or ""
    assert steps
    if not PLAIN.fullmatch(file):
        raise DamagedFile(f"{artifact.folder}: no name that an export gives a model file: {file}", "export it again")
    pixels = artifact.input is Input.PIXELS
    return {
        "file": file, "pixels": pixels, "mean": steps.mean, "std": steps.std, "interpolation": steps.interpolation,
        "height": steps.crop[0], "width": steps.crop[1], "resize_height": steps.resize[0], "resize_width": steps.resize[1],
        "aspect": steps.aspect, "margin": steps.crop != steps.resize, "channels_last": app.channels_last,
        "layout": "(1, height, width, 3)" if app.channels_last or pixels else "(1, 3, height, width)",
        "most_pixels": decoding.LARGEST, "most_resized": preprocess.LARGEST, "modes": _quoted(decoding.MODES),
        "formats": _quoted(decoding.FORMATS),
    }  # fmt: skip


def _quoted(names: tuple[str, ...]) -> str:
    return ", ".join(f'"{name}"' for name in names)


def literal(number: float) -> str:
    """A number as every language here reads it: the fewest digits that give the same float32."""
    found = next(text for digits in range(1, 18) if _single(float(text := f"{number:.{digits}g}")) == _single(number))
    return found if "." in found or "e" in found else f"{found}.0"


def _single(number: float) -> bytes:
    return struct.pack("f", number)
