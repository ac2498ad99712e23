"""The documentation builds strictly, from the sources alone, into pages that need nothing from elsewhere."""

import hashlib
import json
import os
import re
import subprocess
import sys

import pytest
from optional_tools import in_a_browser
from places import ROOT

from cvhn_tf import estimators, parameterizations, priors

# What a browser fetches by itself, as opposed to what a reader follows.
FETCHED = re.compile(
    r"<(?:script|img|iframe|source)\b[^>]*\bsrc=[\"']?([^\"'\s>]+)|<link\b[^>]*\bhref=[\"']?([^\"'\s>]+)"
)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    result = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", folder],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1", "no_proxy": "", "https_proxy": "http://127.0.0.1:9"},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return folder


def test_every_page_is_in_the_site(site):
    for page in (ROOT / "docs").rglob("*.md"):
        assert (site / page.relative_to(ROOT / "docs").with_suffix(".html")).is_file()


def test_pages_fetch_nothing_from_elsewhere(site):
    fetched = {
        found
        for page in [*site.rglob("*.html"), *site.rglob("*.css")]
        for groups in FETCHED.findall(page.read_text())
        for found in groups
        if found
    }
    assert len(fetched) > 5
    assert [link for link in fetched if link.startswith(("http:", "https:", "//"))] == []
    for style in site.rglob("*.css"):
        assert not re.search(r"url\([\"']?(https?:)?//|@import", style.read_text())


def test_pages_with_a_diagram_and_only_these_have_mermaid_as_it_is_published(site):
    with_diagram = {page for page in site.rglob("*.html") if '<pre class="mermaid">' in page.read_text()}
    assert site / "design.html" in with_diagram
    scripts = {page: re.findall(r'src="([^"]*mermaid[^"]*)"', page.read_text()) for page in site.rglob("*.html")}
    assert {page for page, found in scripts.items() if found} == with_diagram
    (script,) = {(page.parent / path).resolve() for page in with_diagram for path in scripts[page]}
    # dist/mermaid.min.js of Mermaid 11.16.0.
    assert hashlib.sha256(script.read_bytes()).hexdigest() == (
        "74d7c46dabca328c2294733910a8aa1ed0c37451776e8d5295da38a2b758fb9b"
    )


@in_a_browser
def test_browser_draws_the_diagram_and_asks_nobody(site, browser):
    from selenium.webdriver.support.wait import WebDriverWait

    browser.get((site / "design.html").as_uri())
    WebDriverWait(browser, 60).until(lambda driver: driver.find_elements("css selector", "div.mermaid"))
    # The theme keeps the picture in a closed shadow tree, which only the debugger looks into.
    tree = browser.execute_cdp_cmd("DOM.getDocument", {"depth": -1, "pierce": True})
    (drawing,) = [
        node for node in nodes_of(tree["root"]) if node["nodeName"] == "svg" and "flowchart" in str(node["attributes"])
    ]
    words = " ".join(node["nodeValue"] for node in nodes_of(drawing) if node["nodeName"] == "#text").split()
    assert {"hypernetwork.py,", "pruning", "compaction", "posterior", "packed"} <= set(words)
    assert browser.find_element("css selector", "div.mermaid").size["height"] > 300
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    asked = [e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"]
    assert len(asked) > 3 and all(url.startswith(("file:", "data:", "blob:")) for url in asked)
    assert [entry for entry in browser.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")] == []


def nodes_of(node):
    yield node
    for child in [*node.get("children", ()), *node.get("shadowRoots", ())]:
        yield from nodes_of(child)


def test_reference_names_all_that_is_public(site):
    from cvhn_tf import __all__ as names
    from cvhn_tf import export

    reference = "".join(page.read_text() for page in (site / "reference").glob("*.html"))
    for variants in (estimators, parameterizations, priors):
        for name in set(variants.__all__) - {"get"}:
            assert f'id="{getattr(variants, name).__module__}.{name}"' in reference, name
    # A module that is public is described by what is in it.
    assert [name for name in names if not re.search(rf'id="cvhn_tf\.{name}["\.]', reference)] == []
    assert [name for name in export.__all__ if not re.search(rf'id="export\.[\w.]+\.{name}"', reference)] == []
