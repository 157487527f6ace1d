"""A headless browser for tests: Debian's Chromium, driven through playwright-core by scripts of this folder."""

import base64
import functools
import http.server
import json
import shutil
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parent
MODULES = FOLDER / "node_modules"
OHIF = MODULES / ".ohif"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or ""
MISSING = [
    name
    for name, there in [
        ("node", shutil.which("node")),
        ("chromium", CHROMIUM),
        ("playwright-core", (MODULES / "playwright-core").is_dir()),
    ]
    if not there
]
browser = pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)} (tools/setup-browser-tests)")


def run(script: str, asked: Mapping[str, Any], patience: float = 240) -> Any:
    """What a script of this folder answers. Raises with its complaint where it fails."""
    command = ["node", str(FOLDER / script)]
    given = json.dumps({"chromium": CHROMIUM, **asked})
    done = subprocess.run(command, input=given, capture_output=True, text=True, timeout=patience, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout)


def packed(data: bytes) -> dict[str, str]:
    """Bytes on their way to a script."""
    return {"base64": base64.b64encode(data).decode()}


def unpacked(value: Any) -> Any:
    """What came from a script, with its bytes as such."""
    if isinstance(value, list):
        return [unpacked(each) for each in value]
    if not isinstance(value, dict):
        return value
    if set(value) == {"base64"}:
        return base64.b64decode(value["base64"])
    return {name: unpacked(each) for name, each in value.items()}


class _Files(http.server.SimpleHTTPRequestHandler):
    """Files of a folder, its index for whatever is none, as applications of one page want it; `extra` before them."""

    extra: Mapping[str, tuple[str, bytes]] = {}

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path in self.extra:
            kind, content = self.extra[path]
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)
            return
        if not Path(self.translate_path(path)).is_file():
            self.path = "/index.html"
        super().do_GET()

    def end_headers(self) -> None:
        """Isolated, as pages are whose threads share memory; kept, since every page needs the same scripts."""
        self.send_header("Cross-Origin-Opener-Policy", "same-origin")
        self.send_header("Cross-Origin-Embedder-Policy", "require-corp")
        self.send_header("Cache-Control", "max-age=3600")
        super().end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing."""


@contextmanager
def pages(folder: Path, extra: Mapping[str, tuple[str, bytes]]) -> Iterator[str]:
    """The files of a folder on a loopback port, and `extra` (media type, content) by path."""
    handler = type("Files", (_Files,), {"extra": extra})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(handler, directory=folder)) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
