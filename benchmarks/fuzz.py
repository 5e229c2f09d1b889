"""Damaged files by thousands to `edgevit inspect`, `verify` and `check`: always an exit code of ours, and one error.

    python benchmarks/fuzz.py --count 2000 [--formats tflite,pte] [--first 0] [--work FOLDER]
    python benchmarks/fuzz.py --only pte-17        what a finding did, once more

A tiny model is trained and exported to each format. Each seed, "pte-17", takes a copy of an artifact, changes one file of it as
`mutations.py` does, and mostly puts every hash in order again, so that what is wrong is met by its reader, not by the seal. The
commands run in a process of their own for each seed, forked from one that has the libraries loaded (`warm.py`). Findings: another
exit code than 0, 1 or 2, a traceback, more than one error, a command that dies, or one that is not done after --limit seconds.
What was done stays in FOLDER/done.jsonl, and is not done again.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).parents[1]))
import mutations
import numpy as np
import warm
from PIL import Image

from edgevit import artifact as artifacts
from edgevit import folder, record
from edgevit.errors import EdgevitError
from edgevit.types import Artifact

TARGETS = {"pte": "executorch", "tflite": "tflite", "mlpackage": "coreml"}
FORMATS = (*TARGETS, "safetensors", "json")
FORGED = 0.8
"""The share of files whose hashes are put in order."""
MARKS = ("Traceback (most recent call last)", "panicked at")


@dataclass(frozen=True)
class Ran:
    """One command over one file: its exit code (minus a signal), what of it is a finding, and its first error."""

    seed: str
    changed: str
    command: str
    code: int
    seconds: float
    wrong: str
    error: str


def made(work: Path) -> Path:
    """The artifacts and their checkpoint, made where they are not there yet."""
    root = work / "good"
    if (root / "complete").exists():
        return root
    shutil.rmtree(root, ignore_errors=True)
    random = np.random.default_rng(0)
    for channel, name in enumerate(("red", "green", "blue")):
        (root / "images" / name).mkdir(parents=True)
        for number in range(4):
            pixels = random.integers(0, 90, (16, 16, 3), dtype=np.uint8)
            pixels[..., channel] += 120
            Image.fromarray(pixels).save(root / "images" / name / f"{number}.png")
    edgevit = [sys.executable, "-m", "edgevit"]
    data = ["--data", str(root / "images")]
    model = ["--model", "Pico/8", "--image-size", "16", "--batch", "8", "--epochs", "1"]
    subprocess.run([*edgevit, "train", *data, *model, "--out", str(root / "run")], check=True)
    for target in TARGETS.values():
        out = ["--out", str(root / "export"), "--recipe", "int8", "--split", "all"]
        # Answers may be too few to pass: the file is what counts.
        subprocess.run([*edgevit, "export", str(root / "run"), "--target", target, *out], check=False)
        assert (root / "export" / f"{target}-int8" / artifacts.RECORD).exists(), target
    (root / "complete").touch()
    return root


def damaged(good: Path, into: Path, seed: str) -> tuple[Path, list[list[str]], str]:
    """A copy of an artifact with something wrong: the folder, the commands to run, and in words what was done."""
    random, kind = Random(seed), seed.rpartition("-")[0]
    target = TARGETS.get(kind) or random.choice(tuple(TARGETS.values()))
    artifact, run = into / "artifact", into / "run"
    shutil.copytree(good / "export" / f"{target}-int8", artifact)
    shutil.copytree(good / "run" / "best", run)
    changed = CHANGES[kind](artifact, run, random)
    model = next((path for path in artifact.glob("model.*")), artifact)
    commands = [["inspect", str(model if kind in TARGETS else artifact), "--json"]]
    if changed.endswith("huge"):
        return artifact, commands, changed  # nobody waits until a terabyte is hashed
    if random.random() < FORGED and forge(artifact, run):
        changed += ", forged"
    more = ["--checkpoint", str(run), "--json"]
    data = ["--data", str(good / "images"), "--split", "all"]
    return artifact, [*commands, ["verify", str(artifact), *more], ["check", str(artifact), *data, *more]], changed


def forge(artifact: Path, run: Path) -> bool:
    """Put the hashes of the record in order; whether it can be read at all."""
    try:
        found = record.read(artifact / artifacts.RECORD, Artifact)
        files = folder.hashes(artifact, leave_out=(artifacts.RECORD,))
        weights = folder.sha256(run / "model.safetensors")
        artifacts.write(artifact, dataclasses.replace(found, files=files, checkpoint_sha256=weights))
    except (EdgevitError, OSError, ValueError):
        return False
    return True


def _model(artifact: Path, run: Path, random: Random) -> str:
    file = next(artifact.glob("model.*"))
    if file.suffix == ".tflite" and random.random() < 0.15:
        return mutations.archive(file, random)
    return mutations.content(file, random)


def _package(artifact: Path, run: Path, random: Random) -> str:
    package = next(artifact.glob("*.mlpackage"))
    files = sorted(path for path in package.rglob("*") if path.is_file())
    if random.random() < 0.2:
        return mutations.members(package, random)
    file = random.choice([*files, next(path for path in files if path.suffix == ".mlmodel")])
    return mutations.text(file, random) if file.suffix == ".json" else mutations.content(file, random)


def _safetensors(artifact: Path, run: Path, random: Random) -> str:
    files = [artifact / "golden.safetensors", artifact / "quantized.safetensors", run / "model.safetensors"]
    return mutations.content(random.choice(files), random)


def _record(artifact: Path, run: Path, random: Random) -> str:
    return mutations.text(artifact / artifacts.RECORD, random)


CHANGES: dict[str, Callable[[Path, Path, Random], str]] = {
    "pte": _model, "tflite": _model, "mlpackage": _package, "safetensors": _safetensors, "json": _record,
}  # fmt: skip


def judged(code: int, output: str, said: str) -> tuple[str, str]:
    """What is wrong with how a command ended, if anything; and its error."""
    errors = [line for line in said.splitlines() if line.startswith("error: ")]
    wrong = [f"exit code {code}"] * (code not in (0, 1, 2))
    wrong += ["traceback"] * any(mark in said + output for mark in MARKS)
    wrong += [f"{len(errors)} errors"] * (len(errors) > 1)
    wrong += ["no error"] * (code == 2 and not errors)
    wrong += ["no JSON"] * (code == 0 and not _is_json(output))
    return ", ".join(wrong), errors[0] if errors else ""


def _is_json(output: str) -> bool:
    try:
        json.loads(output)
    except ValueError:
        return False
    return True


def tried(good: Path, seed: str, limit: float, keep: bool = False) -> list[Ran]:
    with tempfile.TemporaryDirectory(prefix="edgevit-fuzz-", ignore_cleanup_errors=True) as scratch:
        tempfile.tempdir = scratch
        _, commands, changed = damaged(good, Path(scratch), seed)
        found = []
        for command, (code, output, said, seconds) in zip(commands, warm.run(commands, limit), strict=True):
            wrong, error = judged(code, output, said)
            wrong = "not done within the limit" if code == -signal.SIGKILL and seconds >= limit else wrong
            error = error.replace(scratch, "")[:300]
            if wrong or keep:
                error = f"{error}\n{said[-3000:]}"
            found.append(Ran(seed, changed, command[0], code, round(seconds, 2), wrong, error))
        tempfile.tempdir = None
    return found


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--count", type=int, default=2000, help="files of each format")
    parser.add_argument("--first", type=int, default=0, help="number of the first")
    parser.add_argument("--formats", default=",".join(FORMATS))
    parser.add_argument("--limit", type=float, default=60.0, help="seconds for a command")
    parser.add_argument("--work", type=Path, default=Path("build/fuzz"))
    parser.add_argument("--only", help="one seed, with all that was said")
    return parser.parse_args()


def main() -> int:
    asked = arguments()
    asked.work.mkdir(parents=True, exist_ok=True)
    good = made(asked.work.resolve())
    warm.load()
    from edgevit.pipeline import inspecting

    inspecting.LIMIT = asked.limit / 3
    if asked.only:
        for one in tried(good, asked.only, asked.limit, keep=True):
            print(json.dumps(dataclasses.asdict(one), indent=2))
        return 0
    file = asked.work / "done.jsonl"
    lines = file.read_text().splitlines() if file.exists() else []
    done = {json.loads(line)["seed"] for line in lines}
    wanted = [f"{kind}-{n}" for n in range(asked.first, asked.first + asked.count) for kind in asked.formats.split(",")]
    with file.open("a") as out:
        for number, seed in enumerate(one for one in wanted if one not in done):
            for ran in tried(good, seed, asked.limit):
                out.write(json.dumps(dataclasses.asdict(ran)) + "\n")
                if ran.wrong:
                    print(f"FOUND {ran.seed} {ran.command}: {ran.wrong} ({ran.changed})", flush=True)
            out.flush()
            if number % 100 == 99:
                print(f"{number + 1} files", flush=True)
    return summary(file, set(wanted))


def summary(file: Path, wanted: set[str]) -> int:
    """Files and exit codes of each format and command; 1 where anything was found."""
    runs = [Ran(**json.loads(line)) for line in file.read_text().splitlines()]
    runs = [ran for ran in runs if ran.seed in wanted]
    counts = Counter((ran.seed.rpartition("-")[0], ran.command, ran.code) for ran in runs)
    for (kind, command, code), count in sorted(counts.items()):
        print(f"{kind:12} {command:8} exit {code}: {count}")
    wrong = [ran for ran in runs if ran.wrong]
    print(f"{len({ran.seed for ran in runs})} files, {len(runs)} commands, {len(wrong)} findings")
    for ran in wrong:
        print(f"{ran.seed} {ran.command}: {ran.wrong} ({ran.changed})")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
