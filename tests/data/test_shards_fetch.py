"""Shards from a server that breaks off, lies and refuses: every image is the one that was written, or an error says why not."""

from __future__ import annotations

import hashlib
import http.server
import json
import os
import re
import shutil
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import torch

from edgevit import kept
from edgevit.data import download, open_source, shards_fetch
from edgevit.data.dataset import Divided
from edgevit.errors import BadInput, DamagedFile
from edgevit.jobs.shards import write
from edgevit.training import fetching
from edgevit.training.order import batches
from edgevit.training.pixels import Pixels
from edgevit.types import Preprocess, silent

STEPS = Preprocess((16, 16), (16, 16))


@pytest.fixture(scope="module")
def made(images: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("made") / "shards"
    write(str(images), out, 10_240, 3, 0.25, "refuse", False, silent)
    return out


@dataclass
class Server:
    """Gives the files of `root`. `cut` bytes are given of an answer, where that is not None; `answer` may answer otherwise."""

    root: Path
    url: str = ""
    asked: list[tuple[str, str]] = field(default_factory=list)
    cut: int | None = None
    ranges: bool = True
    answer: Callable[[str, http.server.BaseHTTPRequestHandler], bool] = lambda name, handler: False

    def fetched(self, suffix: str = ".tar") -> list[str]:
        return [name for name, _ in self.asked if name.endswith(suffix)]


def _handler(server: Server) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            name, wanted = self.path.rpartition("/")[2], self.headers.get("Range", "")
            server.asked.append((name, wanted))
            if server.answer(name, self):
                return
            if not (server.root / name).is_file():
                self.send_error(404)
                return
            content = (server.root / name).read_bytes()
            start = int(re.sub(r"\D", "", wanted) or 0) if server.ranges else 0
            if start >= len(content) and start:
                self.send_error(416)
                return
            self.send_response(206 if start else 200)
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
            self.send_header("Content-Length", str(len(content) - start))
            self.end_headers()
            self.wfile.write(content[start:][: server.cut])

        def log_message(self, *_: object) -> None: ...

    return Handler


@pytest.fixture
def server(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("EDGEVIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(download, "WAIT", 0.0)
    found = Server(Path(shutil.copytree(made, tmp_path / "served")))
    running = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _handler(found))
    found.url = f"http://127.0.0.1:{running.server_port}/data/index.json"
    thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield found
    running.shutdown()
    running.server_close()
    thread.join()


def _folder(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "shards"


def _contents(spec: str, part: str = "all") -> list[bytes]:
    images = open_source(spec).split(part)
    assert images.content
    return [images.content(i) for i in range(len(images))]


def test_the_same_images_as_from_the_folder(server: Server, made: Path, tmp_path: Path) -> None:
    far, near = open_source(server.url), open_source(str(made))
    assert (far.labels, far.native_size, far.photos, far.named) == (near.labels, near.native_size, near.photos, near.named)
    for name in ("train", "held-out", "all"):
        one, two = far.split(name), near.split(name)
        assert list(one.names) == list(two.names) and np.array_equal(one.classes, two.classes)
        assert one.groups is not None and two.groups is not None and np.array_equal(one.groups, two.groups)
    assert server.fetched() == []  # nothing before it is due
    assert _contents(server.url) == _contents(str(made))
    assert sorted(server.fetched()) == sorted(path.name for path in made.glob("*.tar"))
    kept_ = {path.name for path in _folder(tmp_path).iterdir()}
    assert kept_ == {hashlib.sha256(f.read_bytes()).hexdigest() for f in (*made.glob("*.tar"), made / "classes.u32")}


def test_a_folder_s_url_is_that_of_its_index(server: Server, made: Path) -> None:
    assert _contents(server.url.removesuffix("index.json"), "held-out") == _contents(str(made), "held-out")


def test_what_was_fetched_is_not_fetched_again(server: Server) -> None:
    first = _contents(server.url)
    server.asked.clear()
    assert _contents(server.url) == first and [name for name, _ in server.asked] == ["index.json"]


@pytest.mark.parametrize("cut", [300, 700, 4096])
def test_a_cut_connection_goes_on_where_it_was(cut: int, server: Server, made: Path) -> None:
    images = open_source(server.url).train
    server.cut = cut
    assert images.content
    content = images.content(0)
    ranges = [wanted for name, wanted in server.asked if name.endswith(".tar")]
    assert content == _contents(str(made), "train")[0]
    assert ranges == ["", *(f"bytes={at}-" for at in range(cut, 10_240, cut))]


def test_so_does_another_process_after_a_kill(server: Server, made: Path, tmp_path: Path) -> None:
    shard = json.loads((made / "index.json").read_text())["shards"][0]
    open_source(server.url)
    (_folder(tmp_path) / f".{shard['sha256']}.partial").write_bytes((made / shard["name"]).read_bytes()[:5000])
    assert _contents(server.url, "train") == _contents(str(made), "train")
    assert (shard["name"], "bytes=5000-") in server.asked and (shard["name"], "") not in server.asked


@pytest.mark.parametrize("left", [b"other bytes", b"x" * 20_000])
def test_what_was_left_of_another_file_is_fetched_anew(left: bytes, server: Server, made: Path, tmp_path: Path) -> None:
    shard = json.loads((made / "index.json").read_text())["shards"][0]
    open_source(server.url)
    (_folder(tmp_path) / f".{shard['sha256']}.partial").write_bytes(left)
    assert _contents(server.url, "train") == _contents(str(made), "train")


def test_a_server_without_ranges_gives_all_again(server: Server, made: Path) -> None:
    server.ranges = False
    cuts = iter([700, 5000])

    def cut(name: str, handler: object) -> bool:
        if name.endswith(".tar"):
            server.cut = next(cuts, None)
        return False

    server.answer = cut
    assert _contents(server.url) == _contents(str(made))
    assert server.fetched()[:3] == [server.fetched()[0]] * 3


def test_who_never_gets_further_stops(server: Server) -> None:
    images = open_source(server.url).train
    server.cut = 0
    with pytest.raises(BadInput, match=r"cannot fetch http://127.*train-000000\.tar: the connection was cut"):
        images.open(0)
    assert len(server.fetched()) == download.ATTEMPTS


@pytest.mark.parametrize(("code", "attempts"), [(404, 1), (403, 1), (500, download.ATTEMPTS), (503, download.ATTEMPTS)])
def test_a_server_that_refuses(code: int, attempts: int, server: Server) -> None:
    images = open_source(server.url).train
    server.answer = lambda name, handler: handler.send_error(code) is None
    with pytest.raises(BadInput, match=str(code)):
        images.open(0)
    assert len(server.fetched()) == attempts


def test_one_that_is_busy_for_a_while(server: Server, made: Path) -> None:
    busy = iter([429, 503, 503])

    def answer(name: str, handler: http.server.BaseHTTPRequestHandler) -> bool:
        code = next(busy, None)
        return code is not None and handler.send_error(code) is None

    server.answer = answer
    assert _contents(server.url) == _contents(str(made))


def test_no_server() -> None:
    with pytest.MonkeyPatch.context() as patch, pytest.raises(BadInput, match="connection refused"):
        patch.setattr(download, "WAIT", 0.0)
        patch.setenv("no_proxy", "127.0.0.1")
        open_source("http://127.0.0.1:9/index.json")


@pytest.mark.parametrize("other", [b"file:///etc/passwd", b"ftp://127.0.0.1/x.tar"])
def test_a_server_sends_nobody_to_files_of_this_machine(other: bytes, server: Server) -> None:
    images = open_source(server.url).train

    def answer(name: str, handler: http.server.BaseHTTPRequestHandler) -> bool:
        handler.send_response(302)
        handler.send_header("Location", other.decode())
        handler.end_headers()
        return True

    server.answer = answer
    with pytest.raises(BadInput):
        images.open(0)
    assert len(server.fetched()) <= download.ATTEMPTS


def test_a_move_to_another_address_is_followed(server: Server, made: Path) -> None:
    def answer(name: str, handler: http.server.BaseHTTPRequestHandler) -> bool:
        if "moved" in handler.path:
            return False
        handler.send_response(302)
        handler.send_header("Location", f"/moved/{name}")
        handler.end_headers()
        return True

    server.answer = answer
    server.cut = 6000
    assert _contents(server.url) == _contents(str(made))


def test_a_shard_that_was_changed_is_refused_and_not_kept(server: Server, tmp_path: Path) -> None:
    """By its hash; by `skip` each of its images is left out, and it is fetched once."""
    name = "train-000000.tar"
    content = bytearray((server.root / name).read_bytes())
    content[600] ^= 1
    (server.root / name).write_bytes(content)
    data = open_source(server.url)
    with pytest.raises(DamagedFile, match=rf"by its sha256: .*{name}"):
        data.train.open(0)
    assert isinstance(data.parts, Divided) and data.parts.train
    found = Pixels(data.parts.train, STEPS, "skip", silent)
    server.asked.clear()
    seen = sum(len(classes) for _, classes in found.batches(torch.arange(len(found)).split(4)))
    bad = sum(other.startswith(name) for other in data.train.names)
    assert seen == len(found) - bad and len(found.skipped) == bad and server.fetched().count(name) == 0


@pytest.mark.parametrize("change", ["longer", "shorter"])
def test_a_shard_of_another_size(change: str, server: Server, tmp_path: Path) -> None:
    name = "train-000000.tar"
    content = (server.root / name).read_bytes()
    (server.root / name).write_bytes(content + bytes(1 << 21) if change == "longer" else content[:-512])
    with pytest.raises(DamagedFile, match=name):
        open_source(server.url).train.open(0)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"<html>hello</html>", "no index of shards"),
        (b"[]", "no index of shards"),
        (b"[" * 100_000, "no index of shards"),
        (b'{"wids_version": 1, "shardlist": []}', "no index of shards"),
    ],
)
def test_an_index_that_is_none(content: bytes, words: str, server: Server) -> None:
    (server.root / "index.json").write_bytes(content)
    with pytest.raises(DamagedFile, match=words):
        open_source(server.url)


@pytest.mark.parametrize("name", ["../../x.tar", "file:///etc/passwd.tar", "http://127.0.0.1/x.tar", "pipe:touch x.tar"])
def test_an_index_that_leads_elsewhere(name: str, server: Server) -> None:
    index = json.loads((server.root / "index.json").read_text())
    index["shards"][0]["name"] = name
    (server.root / "index.json").write_text(json.dumps(index))
    with pytest.raises(DamagedFile, match="not a plain name"):
        open_source(server.url)


def test_an_endless_index(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards_fetch.record, "LARGEST", 500)
    with pytest.raises(DamagedFile, match="more than the 500 bytes"):
        open_source(server.url)


def test_many_that_want_one_at_once_fetch_it_once(server: Server, made: Path) -> None:
    """Threads of one source, and sources of their own as processes have them."""
    found = [open_source(server.url).train for _ in range(3)]
    server.asked.clear()
    with ThreadPoolExecutor(12) as pool:
        contents = list(pool.map(lambda n: found[n % 3].content(n % 2), range(24)))  # type: ignore[misc]
    near = _contents(str(made), "train")
    assert contents == [near[n % 2] for n in range(24)]
    assert len(server.fetched()) == len(set(server.fetched()))


def test_the_longest_unused_go_first(server: Server, made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards_fetch, "AT_ONCE", 2)
    monkeypatch.setenv("EDGEVIT_SHARDS_GB", str(31_000 / 1e9))
    far, near = open_source(server.url).all, open_source(str(made)).all
    assert far.content and near.content
    for n, i in enumerate((*range(36), *range(36))):
        assert far.content(i) == near.content(i)
        assert sum(path.stat().st_size for path in _folder(tmp_path).glob("[!.]*")) <= 31_000, n
    assert len(server.fetched()) == 2 * len(set(server.fetched()))


def test_one_that_is_used_again_stays(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards_fetch, "AT_ONCE", 2)
    monkeypatch.setenv("EDGEVIT_SHARDS_GB", str(21_500 / 1e9))
    images = open_source(server.url).train
    assert images.groups is not None
    first, second, third = (int(np.flatnonzero(images.groups == shard)[0]) for shard in range(3))
    for i in (first, second):
        images.open(i)
    for path in _folder(tmp_path).iterdir():
        os.utime(path, (1000, 1000))
    for i in (first, third, first):
        images.open(i)
    assert server.fetched() == [f"train-{number:06d}.tar" for number in range(3)]


def test_too_little_room_is_said_at_once(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEVIT_SHARDS_GB", str(50_000 / 1e9))
    with pytest.raises(BadInput, match=r"8 shards of up to 0 MB do not fit") as caught:
        open_source(server.url)
    assert "EDGEVIT_SHARDS_GB" in caught.value.hint and server.fetched(".u32") == []


def test_no_place_to_keep_them(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("EDGEVIT_CACHE", str(tmp_path / "file"))
    with pytest.raises(BadInput, match="no folder to keep shards in"):
        open_source(server.url)


def test_what_vanishes_meanwhile_is_fetched_again(server: Server, made: Path, tmp_path: Path) -> None:
    """As `edgevit cache --clear` does it while a training runs."""
    images = open_source(server.url).train
    images.open(0)
    kept.remove(_folder(tmp_path))
    assert images.content and images.content(0) == _contents(str(made), "train")[0]


def test_without_held_out_shards_whole_ones_are_set_aside(server: Server) -> None:
    """So that no epoch fetches all of them; the seed says which."""
    index = json.loads((server.root / "index.json").read_text())
    for shard in index["shards"]:
        shard["part"] = "train"
    (server.root / "index.json").write_text(json.dumps(index))
    data = open_source(server.url, 0, 0.25)
    train, held = (set(part.groups.tolist()) for part in (data.train, data.held_out))  # type: ignore[union-attr]
    assert not train & held and train | held == set(range(len(index["shards"]))) and 9 <= len(data.held_out) < 18
    assert set(open_source(server.url, 0, 0.25).held_out.names) == set(data.held_out.names)
    assert any(set(open_source(server.url, seed, 0.25).held_out.names) != set(data.held_out.names) for seed in range(1, 4))


def test_a_training_fetches_its_own_shards_before_they_are_due(
    server: Server, made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two workers: each asks for the shards of its piece of the row, and the epoch's pixels are those of the folder."""
    far, near = (Pixels(open_source(spec).train, STEPS, "refuse", silent) for spec in (server.url, str(made)))
    assert server.fetched() == [] and far.groups is not None
    dealt = batches(len(far), 0, 1, 6, 2, (), far.groups)
    for worker in range(2):
        chunks = [batch[worker] for batch in dealt]
        server.asked.clear()
        one, two = (torch.cat([pixels for pixels, _ in found.batches(chunks)]) for found in (far, near))
        assert torch.equal(one, two)
        own = {f"train-{int(n):06d}.tar" for n in far.groups[torch.cat(chunks)]}
        assert set(server.fetched()) <= own
        assert worker or set(server.fetched()) == own


def test_shards_are_asked_for_in_the_order_in_which_they_are_due() -> None:
    asked: list[int] = []
    groups = np.repeat(np.arange(6), 4)
    images = open_source("digits").train.take(range(24))
    images = type(images)(images.names, images.classes, images.open, groups=groups, fetch=asked.append)
    found = fetching.Fetching(images, [np.arange(at, at + 4) for at in (8, 0, 4, 20, 16, 12)])
    found.soon(0)
    found._thread.shutdown()  # type: ignore[union-attr]
    assert asked == [2, 0, 1]
    found._thread = ThreadPoolExecutor(1)
    found.soon(1)
    found.soon(5)
    found._thread.shutdown()
    assert asked == [2, 0, 1, 5, 4, 3]
