"""The documentation builds strictly, from the sources alone, into pages that need nothing from elsewhere."""

import os
import re
import subprocess
import sys

import pytest
from places import ROOT

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


def test_reference_names_all_that_is_public(site):
    from cvhn_tf import __all__ as names
    from cvhn_tf import export

    reference = "".join(page.read_text() for page in (site / "reference").glob("*.html"))
    # A module that is public is described by what is in it.
    assert [name for name in names if not re.search(rf'id="cvhn_tf\.{name}["\.]', reference)] == []
    assert [name for name in export.__all__ if not re.search(rf'id="export\.[\w.]+\.{name}"', reference)] == []
