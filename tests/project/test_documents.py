"""What README.md and docs/ print, runs; what they link to, is there.

The rules by which long blocks are made short:

- In Python blocks `"mnist"` is `"digits"`, `epochs` is at most 1, and `compare` and `smallest_packed` try one
  combination, by arguments that are put in front of the ones that are printed. `best`, `smallest` and
  `--encoding auto` choose from two encodings; where a page leaves them to `best`, it has one complexity and two
  sparsities to choose from.
- README's Python block runs by itself, as do the tutorial's one after another. A page under docs/ starts with what the
  tutorial left: its variables, and its files in the working directory.
- Of `cvhn-tf` commands `train` and `--finetune-epochs` run for one epoch, `compare` with one combination. `demo` only
  has its options checked against `--help`, and so do commands of a block below the comment `<!-- long -->`.
- A model that a page trains by the words of an earlier page is copied from there.
- `trained.keras` of `train --from` is there, as the page's Python has saved it, but not trained.
- `make` targets and the options of scripts of this repository are looked up; tests of their own run these scripts.
  `pip install` has its files and extras looked up.
- Kotlin, Swift and blocks without a language are not run. test_docs_site.py looks at how Mermaid's are drawn.
"""

import functools
import inspect
import os
import pydoc
import re
import shlex
import shutil
import subprocess
import sys
import tomllib

import pytest
from long import long_but
from places import ROOT
from typer.testing import CliRunner

from cvhn_tf import export, targets
from cvhn_tf_cli import commands

TUTORIAL = "docs/tutorial.md"
PAGES = sorted(path.relative_to(ROOT).as_posix() for path in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
BLOCK = re.compile(r"^(?P<long><!-- long -->\n+)?```(?P<language>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
ALONE = ("README.md", TUTORIAL, "CONTRIBUTING.md")  # the last one by test_contributing.py
LONG = ("docs/how-to/shrink.md", "docs/how-to/structure.md")  # which train most
NOT_RUN = {"", "cpp", "js", "kotlin", "mermaid", "swift"}


def read(page):
    return (ROOT / page).read_text()


def blocks_of(page, *languages):
    return [block for block in BLOCK.finditer(read(page)) if block["language"] in languages]


def pages_with(*languages):
    return [page for page in PAGES if blocks_of(page, *languages)]


def test_every_block_is_of_a_language_that_is_run_or_known_not_to_be():
    languages = {block["language"] for page in PAGES for block in BLOCK.finditer(read(page))}
    assert languages == {"python", "sh", *NOT_RUN & languages}
    for page in PAGES:  # an odd fence would hide blocks from all tests here
        assert read(page).count("\n```") == 2 * len(list(BLOCK.finditer(read(page))))


def run_python(page, namespace):
    for block in blocks_of(page, "python"):
        code = block["text"].replace('"mnist"', '"digits"')
        code = re.sub(r"\bepochs=\d+(, initial_epoch=\d+)?", "epochs=1", code)
        code = re.sub(r"\bepochs, batch_size = \d+,", "epochs, batch_size = 1,", code)
        line = read(page)[: block.start("text")].count("\n")
        exec(compile("\n" * line + code, ROOT / page, "exec"), namespace)


def try_one_combination(monkeypatch):
    """`compare` and `smallest_packed` on the first of each list of settings, `best` on few that the page leaves to it.

    Their arguments are checked all the same.
    """
    settings = ("complexities", "sparsities", "quantizations", "steps", "rate_weights")
    for name in ("compare", "smallest_packed"):
        function = getattr(export, name)

        def short(*args, function=function, **kwargs):
            given = inspect.signature(function).bind(*args, **kwargs)
            given.apply_defaults()
            for argument in settings:
                if argument in given.arguments:
                    few = (None,) if argument == "quantizations" else (1.0,)
                    given.arguments[argument] = (given.arguments[argument] or few)[:1]
            return function(*given.args, **given.kwargs)

        monkeypatch.setattr(export, name, short)
    search = export.best

    def short_search(*args, **kwargs):
        given = inspect.signature(search).bind(*args, **kwargs)
        for argument, few in (("complexities", [1.0]), ("sparsities", [0.5, 0.98])):
            given.arguments[argument] = given.arguments.get(argument) or few
        return search(*given.args, **given.kwargs)

    monkeypatch.setattr(export, "best", short_search)
    for name in ("best", "smallest"):
        module = sys.modules[f"cvhn_tf.export.search.{name}"]  # the name in `export` is the function
        monkeypatch.setattr(module, "available_quantizations", lambda *_: [None, "dynamic_range"])


@pytest.fixture
def one_combination(monkeypatch):
    try_one_combination(monkeypatch)


@pytest.fixture(scope="module")
def tutorial(tmp_path_factory):
    """The variables and the folder that the tutorial leaves behind."""
    folder = tmp_path_factory.mktemp("tutorial")
    namespace = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        try_one_combination(patch)
        run_python(TUTORIAL, namespace)
    return namespace, folder


def test_python_of_the_tutorial_leaves_its_files(tutorial):
    assert {path.name for path in tutorial[1].iterdir()} == {
        "model.keras",
        "digits.tflite",
        "best.tflite",
        "best.json",
    }


@pytest.mark.parametrize(
    "page", long_but(lambda page: page not in LONG, [page for page in pages_with("python") if page not in ALONE])
)
def test_python_of_a_page_runs_after_the_tutorial(page, tutorial, tmp_path, monkeypatch, one_combination):
    namespace, folder = tutorial
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    run_python(page, dict(namespace))


def test_python_of_the_readme_runs(tmp_path, monkeypatch, one_combination):
    monkeypatch.chdir(tmp_path)
    run_python("README.md", {})
    assert (tmp_path / "digits.tflite").stat().st_size > 1000


def command_lines(page):
    """Pairs of a command's words and whether it is long."""
    return [
        (shlex.split(line, comments=True), bool(block["long"]))
        for block in blocks_of(page, "sh")
        for line in block["text"].replace("\\\n", " ").splitlines()
        if line.strip() and not line.startswith("#")
    ]


@pytest.mark.parametrize("page", pages_with("sh"))
def test_commands_of_a_page_run(page, tmp_path, trainings, monkeypatch, one_combination):
    monkeypatch.chdir(tmp_path)
    checks = {
        "cvhn-tf": functools.partial(run_command, trainings),
        "make": check_make,
        "pip": check_pip,
        "python": check_script,
    }
    for words, is_long in command_lines(page):
        if "--from" in words:
            targets.lenet_300_100((8, 8, 1), 10).save(words[words.index("--from") + 1])
        if words[0] == "cvhn-tf" and (is_long or words[1] == "demo"):
            check_options(words)
        else:
            checks[words[0]](words)


def invoke(*words):
    result = CliRunner().invoke(commands.app, words, env={"COLUMNS": "200"})
    assert result.exit_code == 0, f"{words}: {result.output}"
    return result.output


@pytest.fixture(scope="module")
def trainings(tmp_path_factory):
    """The folder of the models that pages have trained, by the words of their commands."""
    return tmp_path_factory.mktemp("trainings")


def run_command(trainings, words):
    words = ["digits" if word == "mnist" else word for word in words[1:]]
    for option in ("--epochs", "--finetune-epochs"):
        if option in words:
            words[words.index(option) + 1] = "1"
    if words[0] == "train" and "--epochs" not in words:
        words += ["--epochs", "1"]
    if words[0] == "compare":
        words += ["--complexities", "1", "--sparsities", "0.9", "--encodings", "float32"]
    trained = trainings / f"{'_'.join(words)}.keras"
    if trained.exists():
        shutil.copy(trained, words[words.index("--output") + 1])
        return
    invoke(*words)
    if words[0] == "train":
        shutil.copy(words[words.index("--output") + 1], trained)


def check_options(words):
    help_text = invoke(words[1], "--help")
    for word in words[2:]:
        assert not word.startswith("--") or re.search(rf"{re.escape(word)}\b", help_text), f"{words}: {word}"


def check_make(words):
    result = subprocess.run(["make", "--dry-run", *words[1:]], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, words
    for path in re.findall(r"\btests/\S+", result.stdout):
        assert (ROOT / path).is_file(), f"{words}: {path}"


def check_pip(words):
    assert words[1] == "install"
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for word in words[2:]:
        if word.endswith(".txt"):
            assert (ROOT / word).is_file(), words
        elif match := re.fullmatch(r"\.\[(.+)\]", word):
            assert set(match[1].split(",")) <= set(extras), words


def check_script(words):
    """Of `python examples/text.py …` or `python -m benchmarks.accuracy.mnist …`, run from the repository's root."""
    path = words[2].replace(".", "/") + ".py" if words[1] == "-m" else words[1]
    source = (ROOT / path).read_text()
    if "parameterization.add_options(" in source:
        source += (ROOT / "benchmarks" / "parameterization.py").read_text()
    for word in words[2:]:
        assert not word.startswith("--") or f'"{word}"' in source, f"{words}: {word}"


def test_scripts_that_prose_names_exist_and_know_the_options():
    """Such as `python -m benchmarks.accuracy.regret --starts 1` within a sentence."""
    for page in PAGES:
        for code in re.findall(r"`(python (?:-m benchmarks\.|[^`]*\.py\b)[^`]*)`", read(page)):
            check_script(shlex.split(code))
        for path in re.findall(r"`((?:examples|benchmarks)/[\w./-]+)`", read(page)):
            assert (ROOT / path).exists(), f"{page}: {path}"


# Links -------------------------------------------------------------------------------------------------------------

LINK = re.compile(r"!?\[[^\]]*\]\(([^()\s]+(?:\([^()]*\))?[^()\s]*)\)")


def without_code(page):
    return re.sub(r"`[^`\n]*`", "", BLOCK.sub("", read(page)))


def anchors_of(path):
    """As GitHub and MkDocs both make them of headings."""
    headings = re.findall(r"^#+ +(.+)$", BLOCK.sub("", path.read_text()), re.MULTILINE)
    texts = [re.sub(r"\[([^\]]*)\]\([^)]*\)|[`*]", r"\1", heading) for heading in headings]
    return {re.sub(r"\s", "-", re.sub(r"[^\w\s-]", "", text.strip().lower())) for text in texts}


@pytest.mark.parametrize("page", PAGES)
def test_links_of_a_page_lead_somewhere(page):
    for link in LINK.findall(without_code(page)):
        if re.match(r"[a-z]+:", link):
            assert re.fullmatch(r"https://[\w.-]+\.[a-z]{2,}(/[^\s]*)?", link), link
            continue
        path, _, anchor = link.partition("#")
        target = ((ROOT / page).parent / path).resolve() if path else ROOT / page
        assert target.is_file(), f"{link}: no such file"
        assert target.is_relative_to(ROOT), link
        if anchor:
            assert anchor in anchors_of(target), f"{link}: no such heading"


def test_readme_is_short_and_no_page_shows_parts_of_another():
    assert len(read("README.md").splitlines()) <= 150
    assert not [page for page in PAGES if "--8<--" in read(page)]


def test_pages_call_things_by_the_names_that_they_have():
    """Such as `export/pruning/prune.py`, `cvhn_tf.workers.on_chief` or `tests/conftest.py`."""
    for page in PAGES:
        for path in re.findall(r"`((?:cvhn_tf|export|cli|tests|docs)/[\w./-]*)", read(page)):
            assert (ROOT / path).exists(), f"{page}: {path}"
        for name in re.findall(r"\b(cvhn_tf(?:\.\w+)+)", BLOCK.sub("", read(page))):
            assert pydoc.locate(name) is not None, f"{page}: {name}"


# Design ------------------------------------------------------------------------------------------------------------


def test_design_page_names_each_room_and_no_other():
    named = re.findall(r"^- `(\w+)/`: ", read("docs/design.md"), re.MULTILINE)
    rooms = [path.parent.name for house in ("cvhn_tf", "export", "cli") for path in ROOT.glob(f"{house}/*/__init__.py")]
    assert sorted(named) == sorted(rooms)


def test_design_page_draws_each_room_of_the_way_of_the_data():
    (picture,) = blocks_of("docs/design.md", "mermaid")
    boxes = " ".join(re.findall(r'\["([^"]*)"\]', picture["text"]))
    # What every stage stands on, and a file's own room, are no stage.
    assert {path.parent.name for path in ROOT.glob("export/*/__init__.py")} - set(re.findall(r"\w+", boxes)) == {
        "networks"
    }


def test_design_page_gives_the_order_of_imports_that_is_checked():
    text = " ".join(read("docs/design.md").split())
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    for contract in contracts:
        if "layers" in contract:
            rooms = [[f"`{name.strip()}`" for name in layer.split("|")] for layer in contract["layers"]]
            assert " → ".join(" · ".join(names) for names in rooms) in text, contract["name"]


# Pictures ----------------------------------------------------------------------------------------------------------


def test_pictures_are_of_the_repository_and_not_large():
    for page in PAGES:
        for path in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", read(page)):
            picture = (ROOT / page).parent / path
            assert os.path.getsize(picture) < 500_000, picture
