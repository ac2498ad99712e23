"""Brings into the site what lies elsewhere: the pictures of benchmarks/, and the script that draws diagrams."""

import importlib.util
import pathlib

from mkdocs.structure.files import File
from mkdocs.utils import get_relative_url

# Mermaid as it is published; its package is only looked into, not imported.
MERMAID = pathlib.Path(importlib.util.find_spec("mermaidx").origin).parent / "assets" / "mermaid.js"
SCRIPT = "assets/javascripts/mermaid.min.js"


def on_files(files, config):
    root = pathlib.Path(config.config_file_path).parent
    for picture in sorted(root.glob("benchmarks/results/**/*.png")):
        files.append(File.generated(config, picture.relative_to(root).as_posix(), abs_src_path=str(picture)))
    files.append(File.generated(config, SCRIPT, abs_src_path=str(MERMAID)))
    return files


def on_page_markdown(markdown, page, config, files):
    # In the repository benchmarks/ lies beside docs/, in the site within it.
    return markdown.replace("](../benchmarks/results/", "](benchmarks/results/")


def on_post_page(output, page, config):
    """The theme fetches Mermaid from elsewhere unless the page has it; 3 MB are for pages with a diagram only."""
    if '<pre class="mermaid">' not in output:
        return output
    script = f'<script src="{get_relative_url(SCRIPT, page.url)}"></script>'
    return output.replace("</body>", f"{script}</body>")
