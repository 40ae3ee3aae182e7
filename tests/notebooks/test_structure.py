"""What every notebook looks like in git."""

import ast

import pytest

from recbench.jobs.notebook import read_notebook
from recbench.jobs.parameters import declared_parameters

MAX_LINES = 12


@pytest.fixture
def cells(notebook):
    """All cells of one notebook."""
    return read_notebook(notebook).cells


@pytest.fixture
def codes(cells):
    """The text of its code cells."""
    return [cell.source for cell in cells if cell.cell_type == "code"]


def parsed(code):
    lines = [line for line in code.splitlines() if not line.startswith(("%", "!"))]
    return ast.parse("\n".join(lines))


def test_it_opens_with_prose(cells):
    assert cells[0].cell_type == "markdown"
    assert cells[0].source.startswith("# ")


def test_one_cell_holds_the_parameters_each_with_its_meaning(notebook, cells):
    tagged = [cell for cell in cells if "parameters" in cell.metadata.get("tags", [])]

    assert len(tagged) == 1
    assert declared_parameters(read_notebook(notebook), source=notebook.name)
    lines = [line for line in tagged[0].source.splitlines() if line.strip()]
    assert all("#" in line for line in lines)


def test_papermill_sees_the_same_parameters(notebook):
    import papermill

    ours = declared_parameters(read_notebook(notebook), source=notebook.name)

    assert set(papermill.inspect_notebook(notebook)) == set(ours)


def test_it_is_stripped_of_outputs_and_counts(cells):
    ran = [cell for cell in cells if cell.get("outputs") or cell.get("execution_count")]

    assert ran == []


def test_it_defines_nothing(codes):
    nodes = [node for code in codes for node in ast.walk(parsed(code))]
    defined = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)

    assert not [node.name for node in nodes if isinstance(node, defined)]


def test_it_installs_nothing(codes):
    lines = [line for code in codes for line in code.splitlines()]

    assert not [line for line in lines if line.startswith(("%pip", "!"))]


def test_it_has_prose_for_every_code_cell(cells, codes):
    assert len(cells) - len(codes) >= len(codes)


def test_code_cells_are_short(cells):
    # the parameters cell is as long as there are parameters
    codes = [
        cell.source
        for cell in cells
        if cell.cell_type == "code" and "parameters" not in cell.metadata.get("tags", [])
    ]

    assert [code for code in codes if len(code.splitlines()) > MAX_LINES] == []


def test_its_last_code_cell_records_the_result(codes):
    recording = [code for code in codes if "tracking.log_summary(" in code]

    assert recording == [codes[-1]]


def test_the_first_notebook_links_to_every_other(notebook):
    start = notebook.with_name("00_start.ipynb")
    prose = "\n".join(cell.source for cell in read_notebook(start).cells)

    assert notebook == start or f"[{notebook.stem}]({notebook.name})" in prose
