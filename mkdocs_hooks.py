"""Brings the pictures of benchmarks/, which stay beside the figures that they show, into the documentation."""

import pathlib

from mkdocs.structure.files import File


def on_files(files, config):
    root = pathlib.Path(config.config_file_path).parent
    for picture in sorted(root.glob("benchmarks/results/**/*.png")):
        files.append(File.generated(config, picture.relative_to(root).as_posix(), abs_src_path=str(picture)))
    return files


def on_page_markdown(markdown, page, config, files):
    # In the repository benchmarks/ lies beside docs/, in the site within it.
    return markdown.replace("](../benchmarks/results/", "](benchmarks/results/")
