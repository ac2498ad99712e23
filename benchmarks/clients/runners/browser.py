"""Runs files by LiteRT.js in Chromium: `python browser.py CHROMIUM PACKAGES KIND FOLDER RESULTS FILE…`.

KIND is `wasm`, `webgpu` or `webgpu-jspi`; PACKAGES a folder node_modules. Serves `page.html` to this machine alone,
opens it without a window, and writes what the page reports.
"""

import functools
import http.server
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import threading
import time

_LONGEST_S = 90  # for one file, or for the browser to start
_FLAGS = [
    "--headless=new",
    "--disable-dev-shm-usage",
    "--no-first-run",
    # WebGPU computed on the processor, by the implementation of Vulkan that Chromium has with it.
    "--enable-unsafe-webgpu",
    "--enable-features=Vulkan",
    "--use-webgpu-adapter=swiftshader",
    "--use-vulkan=swiftshader",
]


class Handler(http.server.SimpleHTTPRequestHandler):
    def __init__(self, *args, folders, task, write, **kwargs):
        self.folders, self.task, self.write = folders, task, write
        super().__init__(*args, **kwargs)

    def translate_path(self, path):
        first, _, rest = path.lstrip("/").partition("/")
        return str(self.folders.get(first, pathlib.Path(os.devnull)) / rest)

    def do_GET(self):
        if self.path == "/task":
            return self.answer(json.dumps(self.task).encode())
        return super().do_GET()

    def do_POST(self):
        self.write(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.answer(b"")

    def answer(self, content):
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *args):
        pass


def main(chromium, packages, kind, folder, results, *names):
    ended, last = threading.Event(), [time.monotonic()]

    def write(line):
        last[0] = time.monotonic()
        if "end" in line:
            ended.set()
            return
        with open(results, "a") as file:
            file.write(json.dumps(line) + "\n")

    folders = {
        "node_modules": pathlib.Path(packages),
        "files": pathlib.Path(folder),
        "runners": pathlib.Path(__file__).parent,
    }
    handler = functools.partial(Handler, folders=folders, task={"kind": kind, "names": names}, write=write)
    handler.extensions_map = {**Handler.extensions_map, ".mjs": "text/javascript", ".wasm": "application/wasm"}
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server, tempfile.TemporaryDirectory() as profile:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        flags = [*_FLAGS, f"--user-data-dir={profile}"]
        if hasattr(os, "geteuid") and os.geteuid() == 0:  # for whom Chromium has no sandbox
            flags.append("--no-sandbox")
        page = f"http://127.0.0.1:{server.server_port}/runners/page.html"
        with subprocess.Popen(
            [chromium, *flags, page], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as browser:
            while not ended.wait(1) and browser.poll() is None and time.monotonic() - last[0] < _LONGEST_S:
                pass
            browser.terminate()
        server.shutdown()
    return 0 if ended.is_set() else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
