"""Fixtures that tests of several folders share."""

import nbformat
import pytest


@pytest.fixture(scope="session")
def write_notebook():
    """Writes a notebook: a title, a parameters cell, then one prose cell before each code cell."""

    def write(path, *codes, parameters="k = 3  # list length"):
        v4 = nbformat.v4
        cells = [
            v4.new_markdown_cell("# A title"),
            v4.new_code_cell(parameters, metadata={"tags": ["parameters"]}),
        ]
        for code in codes:
            cells += [v4.new_markdown_cell("Some prose."), v4.new_code_cell(code)]
        nbformat.write(v4.new_notebook(cells=cells), path)
        return path

    return write
