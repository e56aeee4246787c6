"""Fetching from a real server on this machine: right, wrong, cut short, gone."""

from __future__ import annotations

import gzip
import hashlib
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from ofa_mcu.errors import OfaMcuError
from ofa_mcu.tasks.download import download

CONTENT = np.random.default_rng(0).integers(0, 256, 300_000, dtype=np.uint8).tobytes()
PACKED = gzip.compress(CONTENT, mtime=0)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class _Answers(BaseHTTPRequestHandler):
    """Answers by path, well or badly."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.close_connection = True
        match self.path:
            case "/good":
                self._send(PACKED)
            case "/other":
                self._send(gzip.compress(CONTENT[:-1] + b"x"))
            case "/page":
                self._send(b"<html>please log in</html>")
            case "/garbled":
                self._send(PACKED[:10] + b"\xff" * 1000 + PACKED[1010:])
            case "/cut":
                self._send(PACKED[: len(PACKED) // 2], len(PACKED))
            case "/cut-chunked":
                self.send_response(200)
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                self.wfile.write(b"20000\r\n" + PACKED[:1000])
            case "/reset":
                self._send(PACKED[:100_000], len(PACKED))
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            case "/nonsense":
                self.wfile.write(b"this is not HTTP\r\n\r\n")
            case "/silent":
                pass
            case _:
                self.send_error(404)

    def _send(self, body: bytes, length: int | None = None) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Answers)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_good_file_is_announced_and_kept_as_it_came(
    address: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "deep" / "file.gz"
    download(f"{address}/good", target, SHA256, len(PACKED))
    assert target.read_bytes() == PACKED
    assert list(target.parent.iterdir()) == [target]
    said = capsys.readouterr()
    assert said.err == f"fetching {address}/good (0.3 MB) to {target}\n" and said.out == ""


@pytest.mark.parametrize(
    "path", ["other", "page", "garbled", "cut", "cut-chunked", "reset", "nonsense", "silent", "missing"]
)
def test_anything_else_leaves_nothing(address: str, tmp_path: Path, path: str) -> None:
    target = tmp_path / "file.gz"
    with pytest.raises(OfaMcuError) as caught:
        download(f"{address}/{path}", target, SHA256, len(PACKED))
    text = str(caught.value)
    assert f"{address}/{path}" in text and "--data-dir" in text and "\n" not in text
    assert ("has another checksum" in text) == (path == "other")
    assert list(tmp_path.iterdir()) == []


def test_what_was_there_before_stays_until_the_new_file_is_right(address: str, tmp_path: Path) -> None:
    target = tmp_path / "file.gz"
    target.write_bytes(b"before")
    with pytest.raises(OfaMcuError):
        download(f"{address}/cut", target, SHA256, len(PACKED))
    assert target.read_bytes() == b"before"
    download(f"{address}/good", target, SHA256, len(PACKED))
    assert target.read_bytes() == PACKED


def test_nobody_there_is_said_in_one_sentence(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(
        OfaMcuError, match=f"cannot fetch http://127.0.0.1:{port}/x .*refused.*; put file.gz into a folder"
    ):
        download(f"http://127.0.0.1:{port}/x", tmp_path / "file.gz", SHA256, 1)
    assert list(tmp_path.iterdir()) == []
