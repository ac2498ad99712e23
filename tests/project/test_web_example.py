"""The page in examples/web classifies what is drawn on it, in a real browser, as the file does in LiteRT."""

import functools
import http.server
import json
import re
import shutil
import subprocess
import threading

import numpy as np
import pytest
from command_line import run
from optional_tools import find_tool
from places import EXAMPLES, ROOT

from cvhn_tf import datasets, export
from cvhn_tf.export.verification.litert import LiteRTModel

LITERT_JS = "@litertjs/core@2.5.3"


@pytest.fixture(scope="module")
def folder(tmp_path_factory, model_path):
    """The page's folder with LiteRT.js and a file in it."""
    folder = tmp_path_factory.mktemp("web") / "page"
    shutil.copytree(EXAMPLES / "web", folder, ignore=shutil.ignore_patterns("node_modules", "*.tflite"))
    assert LITERT_JS in (folder / "index.html").read_text()
    command = [find_tool("npm"), "install", "--no-save", "--no-audit", "--no-fund", LITERT_JS]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    arguments = ("--dataset", "digits", "--client", "web", "--complexity", 0.1, "--output", folder / "digits.tflite")
    assert run("export", model_path, *arguments).exit_code == 0
    return folder


@pytest.fixture(scope="module")
def address(folder):
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("localhost", 0), functools.partial(Quiet, directory=folder)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://localhost:{server.server_port}"
        server.shutdown()


@pytest.mark.optional_tool("chromium", "chromedriver", "npm")
def test_page_says_of_a_drawn_digit_what_the_file_says_in_litert(browser, address, folder):
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.ui import WebDriverWait

    browser.get(address)
    said = browser.find_element(By.TAG_NAME, "output")
    wait = WebDriverWait(browser, 60)
    wait.until(lambda _: said.text not in ("", "Loading…"))
    assert said.text == "Draw a digit."
    digits = datasets.load("digits")
    images = digits.x_test[[int(np.flatnonzero(digits.y_test == digit)[0]) for digit in range(10)]]
    expected = [export.evaluate_tflite(folder / "digits.tflite", images, [digit] * 10).accuracy for digit in range(10)]
    seen = []
    for image in images:
        browser.execute_script(
            """
            const context = document.querySelector("canvas").getContext("2d");
            context.clearRect(0, 0, 32, 32);
            arguments[0].forEach((row, y) => row.forEach(([value], x) => {
              context.fillStyle = `rgb(${Math.round(255 * value)}, 0, 0)`;
              context.fillRect(4 * x, 4 * y, 4, 4);
            }));
            document.querySelector("output").textContent = "";
            document.querySelector("canvas").dispatchEvent(new PointerEvent("pointerup"));
            """,
            image.tolist(),
        )
        wait.until(lambda _: said.text.startswith("This looks like"))
        seen.append(int(said.text.removeprefix("This looks like ").rstrip(".")))
    assert [seen.count(digit) / 10 for digit in range(10)] == pytest.approx(expected)
    assert sum(digit == found for digit, found in enumerate(seen)) >= 8
    assert len(browser.find_elements(By.TAG_NAME, "meter")) == 10


@pytest.mark.optional_tool("chromium", "chromedriver", "npm")
def test_lines_of_the_page_on_deployment_give_the_scores_of_litert(browser, address, folder):
    from selenium.webdriver.support.ui import WebDriverWait

    (lines,) = re.findall(r"^```js\n(.*?)^```$", (ROOT / "docs/how-to/deploy.md").read_text(), re.M | re.S)
    (packages,) = re.findall(r'<script type="importmap">.*?</script>', (folder / "index.html").read_text(), re.S)
    x = datasets.load("digits").x_test[:1].astype("float32")
    given = f"const pixels = new Float32Array({x.ravel().tolist()});"
    told = "document.title = JSON.stringify([...scores]);"
    (folder / "lines.html").write_text(f'{packages}<script type="module">{given}\n{lines}\n{told}</script>')
    browser.get(f"{address}/lines.html")
    WebDriverWait(browser, 60).until(lambda _: browser.title.startswith("["))
    expected = LiteRTModel((folder / "digits.tflite").read_bytes()).run([x])[0][0]
    np.testing.assert_allclose(json.loads(browser.title), expected, atol=1e-5)
