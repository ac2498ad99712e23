"""The web page of a comparison: whole and harmless by its text, and working in a browser where there is one."""

import base64
import dataclasses
import hashlib
import html.parser
import json

import keras
import plotly.graph_objects
import pytest
from optional_tools import in_a_browser

import cvhn_tf
from cvhn_tf import export
from cvhn_tf.export.pruning.layer_statistics import StructureProbabilities

EVIL = '<img src=x onerror="document.title=1">&amp;</script>'
COMMAND = f"cvhn-tf compare 'a & b.keras' --output {EVIL}"


@pytest.fixture(scope="module")
def comparison():
    keras.utils.set_random_seed(0)
    target = keras.Sequential(
        [keras.Input((8,)), keras.layers.Dense(16, "relu", name="hidden"), keras.layers.Dense(3, "softmax")]
    )
    model = cvhn_tf.VariationalHypernetwork(target)
    x = keras.random.normal((64, 8)).numpy()
    return export.compare(model, (x, x[:, :3].argmax(1)), complexities=[0.1, 10.0], sparsities=[0.0, 0.5, 0.9])


@pytest.fixture(scope="module")
def evil_comparison(comparison):
    """The same with a layer and a choice whose names are HTML."""

    def rename(layers):
        return {path.replace("hidden", EVIL): value for path, value in layers.items()}

    return dataclasses.replace(
        comparison,
        histograms=[dataclasses.replace(h, counts=rename(h.counts)) for h in comparison.histograms],
        layer_sparsities=[dataclasses.replace(s, layers=rename(s.layers)) for s in comparison.layer_sparsities],
        structures=[StructureProbabilities(h.complexity, {EVIL: [0.9, 0.1]}, 20.0) for h in comparison.histograms],
    )


@pytest.fixture(scope="module")
def files(comparison):
    return {row: f"λ {i} {EVIL}.tflite" for i, row in enumerate(comparison)}


class Page(html.parser.HTMLParser):
    """Elements of a page as pairs of tag and attributes, the text of each script, and the cells of its table."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.scripts, self.rows, self.text = [], [], [], ""
        self._tag = None
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        self._tag = tag
        self.elements.append((tag, dict(attributes)))
        if tag == "script":
            self.scripts.append("")
        if tag == "tr":
            self.rows.append([])
        if tag == "td":
            self.rows[-1].append(dict(attributes)["data-value"])

    def handle_endtag(self, tag):
        self._tag = None

    def handle_data(self, data):
        if self._tag == "script":
            self.scripts[-1] += data
        else:
            self.text += data


def test_page_loads_and_runs_nothing_from_elsewhere(comparison, files):
    page = Page(comparison.report(command=COMMAND, files=files))
    assert {tag for tag, _ in page.elements}.isdisjoint({"link", "img", "iframe", "object", "base", "form"})
    for _, attributes in page.elements:
        assert "src" not in attributes and not any(name.startswith("on") for name in attributes)
    links = [attributes["href"] for tag, attributes in page.elements if tag == "a"]
    assert len(links) == len(comparison) and not any(":" in link or link.startswith("/") for link in links)
    # Only the scripts that are meant to be there run.
    policy = next(a["content"] for _, a in page.elements if a.get("http-equiv") == "Content-Security-Policy")
    plotly_js, _, own = page.scripts
    for script in (plotly_js, own):
        assert base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() in policy
    assert "default-src 'none'" in policy and "http" not in policy


def test_page_holds_all_rows_and_points(comparison):
    page = Page(comparison.report())
    names = [field.name for field in dataclasses.fields(export.Row) if not field.name.endswith("metric")]
    table = [dict(zip(names, row, strict=True)) for row in page.rows[1:]]
    assert [float(row["accuracy"]) for row in table] == [row.accuracy for row in comparison]
    assert [int(row["size_bytes"]) for row in table] == [row.size_bytes for row in comparison]
    figures = json.loads(page.scripts[1])
    points = [
        point
        for trace in figures["size-accuracy"]["data"]
        if trace["mode"] == "markers"
        for point in zip(trace["x"], trace["y"], strict=True)
    ]
    assert sorted(points) == sorted((row.size_bytes, 100 * row.accuracy) for row in comparison)
    for figure in figures.values():
        plotly.graph_objects.Figure(figure)  # refuses properties that plotly.js does not know


def test_figures_say_what_the_layers_are_like(comparison):
    figures = json.loads(Page(comparison.report()).scripts[1])
    snr = [trace for trace in figures["snr"]["data"] if trace["name"] == "hidden/kernel"]
    assert [sum(trace["y"]) for trace in snr] == [8 * 16, 8 * 16]  # one for each λ
    sparsity = figures["layer-sparsity"]["data"]
    for at_one_complexity in (sparsity[:2], sparsity[2:]):
        assert at_one_complexity[0]["x"] == [0.0, 50.0, 90.0]
        for i, asked in enumerate((0.0, 0.5, 0.9)):
            zeros = [trace["y"][i] / 100 for trace in at_one_complexity]
            total = zeros[0] * 8 * 16 + zeros[1] * 16 * 3
            assert total == pytest.approx(round(asked * (8 * 16 + 16 * 3)))
    (bits,) = figures["description-length"]["data"]
    assert bits["x"] == [0.1, 10.0]
    assert bits["y"] == [comparison.rows[0].description_length_bits, comparison.rows[-1].description_length_bits]


def test_text_stays_text(evil_comparison, files):
    page = Page(evil_comparison.report(command=COMMAND, files=files))
    assert "img" not in {tag for tag, _ in page.elements}
    assert COMMAND in page.text and next(iter(files.values())) in page.text
    assert len(page.scripts) == 3
    figures = json.loads(page.scripts[1])
    assert html.escape(f"{EVIL}/kernel", quote=False) in {trace["name"] for trace in figures["snr"]["data"]}
    assert figures["structure"]["data"][0]["y"][0] == html.escape(f"{EVIL}[0]", quote=False)


def test_choices_are_shown_against_the_complexity():
    images = keras.Input((8,))
    x = cvhn_tf.Choice(name="wide")([keras.layers.Dense(8, "relu")(images), images])
    x = cvhn_tf.OptionalPaths(name="skips")([keras.layers.Dense(4)(x), keras.layers.Dense(4)(images)])
    target = keras.Model(images, keras.layers.Dense(3, "softmax")(x))
    model = cvhn_tf.VariationalHypernetwork(target, seed=0)
    x = keras.random.normal((64, 8)).numpy()
    found = {"complexities": [0.1, 10.0], "sparsities": [0.5], "quantizations": [None]}
    comparison = export.compare(model, (x, x[:, :3].argmax(1)), **found)
    best = export.best(model, (x, x[:, :3].argmax(1)), max_bytes=10**6, structures=["weight"], **found)
    for result in (comparison, best):
        page = Page(result.report())
        assert "Probability of each path" in page.text
        figures = json.loads(page.scripts[1])
        (heat,) = figures["structure"]["data"]
        complexities = [each.complexity for each in result.structures]
        assert heat["x"] == [f"{complexity:g}" for complexity in complexities]
        assert heat["y"] == ["wide[0]", "wide[1]", "skips[0]", "skips[1]"]
        for row, expected in zip(heat["z"], (0.5, 0.5, 0.953, 0.953), strict=True):
            assert row == pytest.approx([expected] * len(complexities), abs=1e-3)  # as before training
        (cost,) = figures["structure-cost"]["data"]
        assert cost["y"] == [model.structure_cost(complexity) for complexity in complexities]
        for figure in figures.values():
            plotly.graph_objects.Figure(figure)


def test_a_target_without_choices_has_no_figures_of_them(comparison):
    page = Page(comparison.report())
    assert comparison.structures == [] and "Structure" not in page.text
    assert "structure" not in json.loads(page.scripts[1])


@pytest.fixture(scope="module")
def opened(browser, evil_comparison, files, tmp_path_factory):
    from selenium.webdriver.support.wait import WebDriverWait

    path = tmp_path_factory.mktemp("report") / "report.html"
    evil_comparison.report(path, COMMAND, files)
    browser.get(path.as_uri())
    wait = WebDriverWait(browser, 60)
    wait.until(lambda driver: len(driver.find_elements("css selector", ".main-svg .scatterlayer .points path")) > 0)
    browser.wait = wait
    return browser


@in_a_browser
def test_browser_loads_the_page_without_complaint_and_asks_nobody(opened):
    assert [entry for entry in opened.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")] == []
    events = [json.loads(entry["message"])["message"] for entry in opened.get_log("performance")]
    asked = [e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"]
    assert [url for url in asked if url.startswith("file:")] == [opened.current_url]
    assert all(url.startswith(("file:", "data:", "blob:")) for url in asked)
    assert len(opened.find_elements("css selector", ".js-plotly-plot")) == 6
    assert opened.title == "cvhn-tf report"  # the name of the layer would have changed it
    names = [element.get_attribute("textContent") for element in opened.find_elements("css selector", ".legendtext")]
    assert f"{EVIL}/kernel" in names


@in_a_browser
@pytest.mark.parametrize("column", ["size_bytes", "accuracy", "quantization"])
def test_browser_sorts_the_table_on_a_click(opened, column):
    def values():
        number = [field.name for field in dataclasses.fields(export.Row)].index(column)
        cells = opened.find_elements("css selector", f"#rows tbody td:nth-child({number + 1})")
        values = [cell.get_attribute("data-value") for cell in cells]
        return values if column == "quantization" else [float(value) for value in values]

    before = values()
    button = next(b for b in opened.find_elements("css selector", "#rows th button") if b.text.strip() == column)
    for expected in (sorted(before), sorted(before, reverse=True)):
        opened.execute_script("arguments[0].scrollIntoView({block: 'center', inline: 'center'})", button)
        button.click()
        assert values() == expected


@in_a_browser
def test_browser_tells_what_makes_a_file_under_the_mouse(opened, evil_comparison):
    from selenium.webdriver import ActionChains

    point = opened.find_elements("css selector", "#size-accuracy .scatterlayer .points path")[0]
    opened.execute_script("arguments[0].scrollIntoView({block: 'center'})", point)
    ActionChains(opened).move_to_element(point).perform()
    opened.wait.until(lambda driver: driver.find_elements("css selector", "#size-accuracy .hoverlayer .hovertext"))
    said = opened.find_element("css selector", "#size-accuracy .hoverlayer .hovertext").get_attribute("textContent")
    rows = [row for row in evil_comparison if f"{row.size_bytes:,} bytes" in said and f"λ = {row.complexity:g}" in said]
    assert any(f"sparsity {row.sparsity:g}, weight" in said and f"encoding {row.encoding}" in said for row in rows)


def test_a_description_length_that_rises_is_told_in_comparison_and_page(comparison):
    def with_lengths(*bits):
        pairs = zip(comparison.histograms, bits, strict=True)
        return dataclasses.replace(
            comparison, histograms=[dataclasses.replace(h, description_length_bits=length) for h, length in pairs]
        )

    rising, falling = with_lengths(50.0, 80.0), with_lengths(80.0, 50.0)
    assert falling.rise is None and "id='rise'" not in falling.report()
    assert "from 50 bits at λ = 0.1 to 80 bits at λ = 10" in rising.rise
    assert f"<p id='rise'>{rising.rise}</p>" in rising.report()
