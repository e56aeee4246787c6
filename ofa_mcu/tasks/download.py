"""Fetching a data file: announced, resumable by starting over, checked, and atomic."""

from __future__ import annotations

import gzip
import hashlib
import http.client
import os
import sys
import urllib.error
import urllib.request
import zlib
from pathlib import Path

from ofa_mcu.errors import OfaMcuError

__all__ = ["download"]

_CHUNK = 1 << 16


def download(url: str, target: Path, sha256: str, size: int) -> None:
    """Fetch the gzip file `url` (`size` bytes) to `target`, showing progress on stderr.

    `sha256` is that of the uncompressed content; the file appears only when it is right.

    Raises:
        OfaMcuError: the network or the checksum said no.
    """
    print(f"fetching {url} ({size / 1e6:.1f} MB) to {target}", file=sys.stderr)
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f"{target.name}.{os.getpid()}.part")
    try:
        with urllib.request.urlopen(url, timeout=20) as reply, partial.open("wb") as out:
            done = 0
            while chunk := reply.read(_CHUNK):
                out.write(chunk)
                done += len(chunk)
                if sys.stderr.isatty():
                    print(f"\r  {done / 1e6:6.1f} of {size / 1e6:.1f} MB", end="", file=sys.stderr)
        if sys.stderr.isatty():
            print(file=sys.stderr)
        if hashlib.sha256(gzip.decompress(partial.read_bytes())).hexdigest() != sha256:
            raise OfaMcuError(f"{url} has another checksum than expected; get the file elsewhere and use --data-dir")
        partial.replace(target)
    except (urllib.error.URLError, http.client.HTTPException, OSError, EOFError, zlib.error) as error:
        reason = " ".join(str(error).split())  # what a server said may hold line ends
        raise OfaMcuError(
            f"cannot fetch {url} ({reason}); put {target.name} into a folder yourself and name it with --data-dir"
        ) from error
    finally:
        partial.unlink(missing_ok=True)
