import re
from html.parser import HTMLParser

import nbformat
import pytest

from recbench.jobs.manifest import Manifest
from recbench.jobs.report import write_report

V4 = nbformat.v4


class Fetched(HTMLParser):
    """What a browser would load by itself to show the page."""

    def __init__(self):
        super().__init__()
        self.addresses = []
        self.styles = []
        self._in_style = False

    def handle_starttag(self, tag, attrs):
        self._in_style = tag == "style"
        named = dict(attrs)
        if tag in {"script", "img", "iframe", "source"} and named.get("src") is not None:
            self.addresses.append(named["src"])
        if tag == "link":
            self.addresses.append(named["href"])

    def handle_data(self, data):
        if self._in_style:
            self.styles.append(data)


def fetched(report):
    parser = Fetched()
    parser.feed(report.read_text())
    in_styles = re.findall(r"url\([\"']?(?!data:)([^)]*)", "".join(parser.styles))
    return [a for a in [*parser.addresses, *in_styles] if not a.startswith(("data:", "#"))]


@pytest.fixture
def report_of(tmp_path):
    """The report of a finished notebook with these cells."""

    def report(*cells, **changes):
        nbformat.write(V4.new_notebook(cells=list(cells)), tmp_path / "executed.ipynb")
        facts = {"run": "r1", "notebook": "/a/03_train.ipynb", "notebook_sha256": "0"}
        Manifest(**{**facts, "parameters": {}, "status": "succeeded", **changes}).write(tmp_path)
        return write_report(tmp_path)

    return report


def test_the_report_fetches_nothing(finished_run):
    assert fetched(finished_run[0].folder / "report.html") == []


def test_the_report_loads_no_module_from_elsewhere(finished_run):
    page = (finished_run[0].folder / "report.html").read_text()

    assert re.search(r"import\(|import .* from", page) is None


def test_figures_are_shown_and_embedded_even_without_pyplot(finished_run):
    page = (finished_run[0].folder / "report.html").read_text()

    assert len(re.findall(r'<img[^>]*src="data:image/png;base64,', page)) == 1


def test_metrics_and_parameters_stand_before_the_notebook(finished_run):
    page = (finished_run[0].folder / "report.html").read_text()
    body = page[page.index("<body") :]

    places = [body.index(text) for text in ("tiny: succeeded", "ndcg@20/known/value", "A title")]
    assert places == sorted(places)
    assert "<td>k</td><td>5</td>" in body


def test_code_is_folded_behind_a_check_box(finished_run):
    page = (finished_run[0].folder / "report.html").read_text()

    assert 'type="checkbox" id="show-code"' in page
    assert ">print</span>" in page
    assert ".jp-CodeCell > .jp-Cell-inputWrapper { display: none; }" in page


def test_text_of_parameters_is_not_read_as_html(report_of):
    page = report_of(parameters={"data": "<script>alert(1)</script>"}).read_text()

    assert "&lt;script&gt;alert(1)" in page
    assert "<script>alert(1)" not in page


def test_a_failed_run_says_so_first(report_of):
    page = report_of(status="failed", error="cell 3: KeyError: 'x'").read_text()

    assert "03_train: failed" in page
    assert "cell 3: KeyError: &#x27;x&#x27;" in page


def test_a_live_widget_leaves_its_picture_only(report_of):
    data = {"application/vnd.jupyter.widget-view+json": {"model_id": "m"}, "text/plain": "Explorer"}
    alone = {"application/vnd.jupyter.widget-view+json": {"model_id": "m"}}
    outputs = [V4.new_output("display_data", data=shown) for shown in (data, alone)]
    notebook_cell = V4.new_code_cell("explorer", outputs=outputs)

    report = report_of(notebook_cell)

    page = report.read_text()
    assert "Explorer" in page
    assert "widget-view+json" not in page
    assert fetched(report) == []


def test_scripts_of_outputs_stay(report_of):
    html = '<script type="module">const licence = "https://example.org"</script>'
    output = V4.new_output("display_data", data={"text/html": html})

    assert html in report_of(V4.new_code_cell("table", outputs=[output])).read_text()


def test_a_run_that_never_began_has_no_report(tmp_path):
    assert write_report(tmp_path) is None


def test_the_report_says_what_a_hundredth_of_ndcg_cost(report_of, tmp_path):
    (tmp_path / "metrics.json").write_text('{"gain_known": 0.02}')
    energy = {"joules": 30.0, "source": "RAPL"}

    page = report_of(energy=energy).read_text()
    assert "30 J (RAPL), 15 J for each +0.01 NDCG on known users" in page


def test_the_report_of_a_run_without_a_meter_says_so(report_of):
    assert "<td>energy</td><td>unknown</td>" in report_of().read_text()
