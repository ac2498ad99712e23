"""Programs that a test may need and that no package of pip brings: the one place that names them.

A test that needs one is marked `optional_tool("chromium", …)`, and is skipped where it is not installed.
"""

import shutil

import pytest

# Each under the names that systems install it by.
TOOLS = {
    "chromium": ("chromium", "chromium-browser", "google-chrome"),
    "chromedriver": ("chromedriver",),
    "g++": ("g++", "clang++"),
    "node": ("node",),
    "npm": ("npm",),
}

in_a_browser = pytest.mark.optional_tool("chromium", "chromedriver")


def find_tool(name):
    """Path of a program, None if it is not installed."""
    return next(filter(None, map(shutil.which, TOOLS[name])), None)
