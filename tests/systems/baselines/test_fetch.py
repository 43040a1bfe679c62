"""Checkpoints by address, from a server on this machine that behaves and misbehaves."""

from __future__ import annotations

import http.server
import json
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest
from benchsep_baselines import fetch, transfer, zoo

from benchsep.errors import BenchsepError, CheckpointError, UsageError

CONTENT = b"PK" + bytes(range(256)) * 4000
OTHER = b"PK" + bytes(reversed(range(256))) * 4000


class Server(http.server.BaseHTTPRequestHandler):
    """Serves ``files``; ``cut`` ends that many answers half-way; ``log`` has what was asked."""

    files: dict[str, bytes]
    cut: int
    log: list[tuple[str, str, str]]
    types: dict[str, str]

    def do_GET(self):
        state = self.server.state
        wanted = self.headers.get("Range", "")
        state.log.append((self.command, self.path, wanted))
        if self.path in state.redirects:
            self.send_response(302)
            self.send_header("Location", state.redirects[self.path])
            self.end_headers()
            return
        body = state.files.get(self.path)
        if body is None:
            self.send_error(404)
            return
        tag = f'"{hash(body)}"'
        start = 0
        if wanted and self.headers.get("If-Range") == tag:
            start = int(wanted.removeprefix("bytes=").rstrip("-"))
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        self.send_header("ETag", tag)
        self.send_header("Content-Type", state.types.get(self.path, "application/octet-stream"))
        self.send_header("Content-Length", str(len(body) - start))
        self.hub_headers(body)
        self.end_headers()
        part = body[start:]
        if state.cut and self.command == "GET":
            state.cut -= 1
            part = part[: len(part) // 2]
            self.close_connection = True
        if self.command == "GET":
            self.wfile.write(part)

    def hub_headers(self, body):
        if self.server.state.hub:
            self.send_header("X-Repo-Commit", "c" * 40)

    do_HEAD = do_GET

    def log_message(self, *args):
        pass


class State:
    def __init__(self):
        self.files, self.types, self.redirects, self.log = {}, {}, {}, []
        self.cut, self.hub, self.url = 0, False, ""


@contextmanager
def serving():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
    server.state = State()
    server.state.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield server.state
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def server(monkeypatch, tmp_path):
    monkeypatch.delenv("BENCHSEP_OFFLINE", raising=False)
    monkeypatch.setenv("BENCHSEP_CACHE", str(tmp_path / "cache"))
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with serving() as state:
        state.files["/x.ckpt"] = CONTENT
        yield state


def test_a_file_is_fetched_once_and_pinned(server, capsys):
    address = f"{server.url}/x.ckpt"
    path = fetch.fetched(address)
    assert path.read_bytes() == CONTENT and path.name == "x.ckpt"
    pin = json.loads(path.with_name("x.ckpt.pin.json").read_text())
    assert pin["address"] == address and pin["size"] == len(CONTENT) and len(pin["sha256"]) == 64
    assert fetch.fetched(address) == path
    assert len(server.log) == 1
    assert "fetching" in capsys.readouterr().err


def test_a_cut_connection_is_continued(server):
    server.cut = 2
    path = fetch.fetched(f"{server.url}/x.ckpt")
    assert path.read_bytes() == CONTENT
    ranges = [asked for *_, asked in server.log]
    assert ranges[0] == "" and ranges[1] == f"bytes={len(CONTENT) // 2}-" and len(ranges) == 3


def test_a_connection_that_always_breaks_is_continued_by_the_next_call(server):
    server.cut = 3
    address = f"{server.url}/x.ckpt"
    with pytest.raises(CheckpointError, match=r"cut at [\d,]+ of 1,024,002 bytes; run again"):
        fetch.fetched(address)
    assert not fetch.is_kept(address)
    assert fetch.fetched(address).read_bytes() == CONTENT
    assert server.log[-1][2].startswith("bytes=")


def test_a_file_that_changes_while_it_is_fetched_is_begun_again(server):
    server.cut = 3
    address = f"{server.url}/x.ckpt"
    with pytest.raises(CheckpointError):
        fetch.fetched(address)
    server.files["/x.ckpt"] = OTHER
    assert fetch.fetched(address).read_bytes() == OTHER


@pytest.mark.parametrize("content_type", ["text/html; charset=utf-8", "application/octet-stream"])
def test_a_proxys_page_is_never_kept(server, content_type):
    server.files["/x.ckpt"] = b"<!DOCTYPE html><title>Login</title>" + b" " * 500
    server.types["/x.ckpt"] = content_type
    address = f"{server.url}/x.ckpt"
    with pytest.raises(CheckpointError, match=r"found a page instead of the file .*DOCTYPE"):
        fetch.fetched(address)
    assert not fetch.is_kept(address)
    server.files["/x.ckpt"], server.types = CONTENT, {}
    assert fetch.fetched(address).read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.ckpt", b"version https://git-lfs", "expected a checkpoint of torch"),
        ("x.safetensors", b"not found, sorry", "expected a safetensors"),
        ("x.yaml", b"  <html>", "found a page"),
    ],
)
def test_what_is_plainly_another_kind_is_refused(server, name, content, message):
    server.files[f"/{name}"] = content
    with pytest.raises(CheckpointError, match=message):
        fetch.fetched(f"{server.url}/{name}")


def test_a_changed_file_is_refused_here_and_there(server):
    address = f"{server.url}/x.ckpt"
    path = fetch.fetched(address)
    path.write_bytes(OTHER)
    with pytest.raises(CheckpointError, match=r"the file changed: .*delete .*pin\.json"):
        fetch.fetched(address)
    path.unlink()
    server.files["/x.ckpt"] = OTHER
    with pytest.raises(CheckpointError, match="the file changed"):
        fetch.fetched(address)
    path.with_name("x.ckpt.pin.json").unlink()
    assert fetch.fetched(address).read_bytes() == OTHER


def test_a_wrong_checksum_is_not_kept(server):
    address = f"{server.url}/x.ckpt"
    right = fetch.file_sha256(fetch.fetched(address))
    assert fetch.fetched(f"{address}#sha256={right}") == fetch.parse_address(address).file
    with pytest.raises(CheckpointError, match=r"expected 0000.*not kept"):
        fetch.fetched(f"{address}#sha256={'0' * 64}")
    assert not fetch.is_kept(address)


def test_a_damaged_pin_says_so(server):
    address = f"{server.url}/x.ckpt"
    path = fetch.fetched(address)
    path.with_name("x.ckpt.pin.json").write_text("{")
    with pytest.raises(CheckpointError, match="is damaged"):
        fetch.fetched(address)


def test_a_redirect_is_followed(server):
    server.redirects["/moved.ckpt"] = f"{server.url}/x.ckpt"
    path = fetch.fetched(f"{server.url}/moved.ckpt")
    assert path.name == "moved.ckpt" and path.read_bytes() == CONTENT


def test_a_redirect_out_of_tls_is_refused():
    request = transfer.Request("https://host/x.ckpt")
    with pytest.raises(CheckpointError, match="which is not https"):
        transfer._SafeRedirects().redirect_request(request, None, 302, "", {}, "http://host/x")


def test_what_is_not_there_says_so_with_the_command(server):
    with pytest.raises(CheckpointError, match=r"answers 404 .*curl -L --fail --create-dirs -o "):
        fetch.fetched(f"{server.url}/absent.ckpt")
    assert len(server.log) == 1, "it is not asked again and again"


def test_offline_gives_the_one_command_and_its_result_is_used(server, monkeypatch):
    monkeypatch.setenv("BENCHSEP_OFFLINE", "1")
    address = f"{server.url}/x.ckpt"
    with pytest.raises(CheckpointError, match="BENCHSEP_OFFLINE is set") as caught:
        fetch.fetched(address)
    assert server.log == []
    words = str(caught.value).split()
    target = words[words.index("-o") + 1]
    assert words[-1] == address
    path = fetch.parse_address(address).file
    assert str(path) == target
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(CONTENT)
    assert fetch.fetched(address) == path and fetch.parse_address(address).pin.is_file()


def test_processes_that_want_the_same_file_fetch_it_once(server):
    paths = []
    address = f"{server.url}/x.ckpt"
    threads = [
        threading.Thread(target=lambda: paths.append(fetch.fetched(address))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(paths)) == 1 and len(paths) == 4 and len(server.log) == 1


def test_the_hub_is_asked_by_its_client(server, monkeypatch):
    server.hub = True
    monkeypatch.setenv("HF_ENDPOINT", server.url)
    server.files["/me/repo/resolve/v1/deep/x.ckpt"] = CONTENT
    path = fetch.fetched("hf://me/repo/deep/x.ckpt@v1")
    assert path.read_bytes() == CONTENT and path.name == "x.ckpt"
    asked = len(server.log)
    assert fetch.fetched("hf://me/repo/deep/x.ckpt@v1") == path and len(server.log) == asked
    with pytest.raises(CheckpointError, match=r"cannot be fetched .*curl"):
        fetch.fetched("hf://me/repo/absent.ckpt")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("http://example.org/x.ckpt", "with https"),
        ("ftp://example.org/x.ckpt", "with https"),
        ("file:///etc/passwd", "with https"),
        ("https://user:pass@example.org/x.ckpt", "a password"),
        ("https://example.org/", "expected the address of a file"),
        ("https://example.org/x.ckpt#sha256=12", "64 hexadecimal"),
        ("hf://owner/x.ckpt", "expected hf://OWNER/REPO/FILE"),
        ("hf://owner/repo/../../x.ckpt", "expected hf://OWNER/REPO/FILE"),
        ("hf://owner/repo/x.ckpt@a@b", "expected hf://OWNER/REPO/FILE"),
    ],
)
def test_addresses_that_are_none(text, message):
    with pytest.raises(UsageError, match=message):
        fetch.parse_address(text)


def test_an_address_is_kept_inside_the_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("BENCHSEP_CACHE", str(tmp_path))
    for text in ("https://h/a/%2e%2e%2fx.ckpt", "https://h/x.ckpt?y=/../z", "hf://o/r/a/b.ckpt"):
        file = fetch.parse_address(text).file
        assert file.resolve().is_relative_to(tmp_path) and file.name.endswith(".ckpt")


# -- the list --------------------------------------------------------------------------------------


def test_the_list_is_whole():
    from benchsep_baselines.architectures import NAMES

    from benchsep.systems.training import parse_training

    for entry in zoo.entries().values():
        assert entry.architecture in NAMES
        assert all(fetch.parse_address(a).url.startswith("https://") for a in entry.addresses)
        assert parse_training("+".join(entry.trained_on)) == entry.trained_on
        assert entry.stems and entry.training_data and entry.licence
    assert set(zoo.OFFICIAL.values()) <= set(zoo.entries())
    with pytest.raises(UsageError, match="did you mean"):
        zoo.entry("bs-roformer-musd")


def test_a_name_offline_gives_one_command_for_both_files(monkeypatch, tmp_path):
    monkeypatch.setenv("BENCHSEP_OFFLINE", "1")
    monkeypatch.setenv("BENCHSEP_CACHE", str(tmp_path))
    with pytest.raises(BenchsepError) as caught:
        zoo.fetched(zoo.entry("scnet-xl-musdb"))
    text = str(caught.value)
    assert text.count("curl") == 1 and text.count(" -o ") == 2
    assert "model_scnet_ep_54_sdr_9.8051.ckpt" in text and "config_musdb18_scnet_xl.yaml" in text


def test_the_page_of_checkpoints_is_that_of_the_list():
    page = Path(__file__).parents[3] / "docs" / "checkpoints.md"
    assert page.read_text(encoding="utf-8").endswith(zoo.table() + "\n")


def test_demucs_takes_addresses_too(server, tmp_path):
    from benchsep_baselines.htdemucs import find_weights

    address = f"{server.url}/x.th"
    server.files["/x.th"] = CONTENT
    assert find_weights("htdemucs", address).paths == [fetch.parse_address(address).file]


def test_a_name_declares_its_training_data(monkeypatch, tmp_path):
    """Files that the user has put into the folder are the entry's."""
    from benchsep_baselines import msst

    monkeypatch.setenv("BENCHSEP_CACHE", str(tmp_path))
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    for name in ("model_scnet_ep_54_sdr_9.8051.ckpt", "config_musdb18_scnet_xl.yaml"):
        (folder / name).touch()
    found = msst.public(zoo.entry("scnet-xl-musdb"))
    assert found.label == "scnet-xl-musdb" and found.trained_on == ("musdb18:train",)
    assert found.weights == folder / "model_scnet_ep_54_sdr_9.8051.ckpt"
