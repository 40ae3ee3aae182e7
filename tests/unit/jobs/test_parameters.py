import nbformat
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recbench.errors import InputError
from recbench.jobs.parameters import (
    declared_parameters,
    parse_assignments,
    resolve_parameters,
)

CELL = """\
# what to read
data = "movielens-100k"
k: int = 20  # list length
rate = 0.5
refit = True
cut: int | None = None
anything = None
half_lives_s = [3600.0, 86400.0]
cadences: list[str] = []
"""


def declared(code=CELL):
    cells = [
        nbformat.v4.new_code_cell("k = 99"),
        nbformat.v4.new_code_cell(code, metadata={"tags": ["parameters"]}),
    ]
    return declared_parameters(nbformat.v4.new_notebook(cells=cells), source="`03.ipynb`")


def parsed(*assignments):
    return parse_assignments(declared(), assignments, source="`03.ipynb`")


def test_every_assignment_of_the_tagged_cell_is_declared_with_its_kind():
    described = [parameter.describe() for parameter in declared().values()]

    assert described == [
        "data: str = 'movielens-100k'",
        "k: int = 20",
        "rate: float = 0.5",
        "refit: bool = True",
        "cut: int | None = None",
        "anything: any | None = None",
        "half_lives_s: list[float] = [3600.0, 86400.0]",
        "cadences: list[str] = []",
    ]


@pytest.mark.parametrize(
    ("assignment", "value"),
    [
        ("data=a=b c", "a=b c"),
        ("data=7", "7"),
        ("k=-3", -3),
        ("rate=1e-3", 1e-3),
        ("rate=2", 2.0),
        ("refit=FALSE", False),
        ("cut=none", None),
        ("cut=5", 5),
        ("anything=[1, 'a']", [1, "a"]),
        ("anything=plain text", "plain text"),
        ("half_lives_s=[60, 90.5]", [60.0, 90.5]),
        ("cadences=['1h', '1d']", ["1h", "1d"]),
    ],
)
def test_text_becomes_the_declared_kind(assignment, value):
    (found,) = parsed(assignment).values()

    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("assignment", "shown"),
    [
        ("k=3.5", "3.5"),
        ("k=many", "'many'"),
        ("k=True", "True"),
        ("k=none", "'none'"),
        ("rate=fast", "'fast'"),
        ("rate=1e999", "inf"),
        ("refit=1", "'1'"),
        ("cut=soon", "'soon'"),
        ("half_lives_s=60", "60"),
        ("half_lives_s=['a']", "'a'"),
        ("cadences=[1]", "1"),
    ],
)
def test_a_value_of_another_kind_is_refused_and_shown(assignment, shown):
    with pytest.raises(InputError, match=f"cannot be {shown}; declared: "):
        parsed(assignment)


def test_an_unknown_name_is_refused_with_the_closest_and_all_names():
    with pytest.raises(
        InputError, match=r"`03.ipynb` has no parameter `refitt`. .*`refit`\? .*k: int"
    ):
        parsed("refitt=True")
    with pytest.raises(InputError, match="no parameter `zzz`"):
        resolve_parameters(declared(), {"zzz": 1}, source="`03.ipynb`")


def test_an_assignment_without_equals_sign_is_refused():
    with pytest.raises(InputError, match="`-p refit` has no `=`"):
        parsed("refit")


def test_resolving_gives_every_parameter_a_value():
    resolved = resolve_parameters(declared(), {"k": 5}, source="`03.ipynb`")

    assert resolved["k"] == 5
    assert resolved["rate"] == 0.5
    assert list(resolved) == list(declared())


def test_resolving_checks_values_given_from_python_too():
    with pytest.raises(InputError, match="`k` cannot be '5'"):
        resolve_parameters(declared(), {"k": "5"}, source="`03.ipynb`")


@pytest.mark.parametrize("line", ["n_users = len(users)", "k += 1", "import os", "a, b = 1, 2"])
def test_a_parameters_cell_holds_literals_only(line):
    with pytest.raises(InputError, match=r"is not `name = literal`"):
        declared(line)


def test_a_parameters_cell_that_is_not_python_is_refused():
    with pytest.raises(InputError, match="`03.ipynb`: the parameters cell is not Python"):
        declared("k = = 3")


def test_two_parameters_cells_are_refused():
    cells = [
        nbformat.v4.new_code_cell("k = 1", metadata={"tags": ["parameters"]}) for _ in range(2)
    ]
    notebook = nbformat.v4.new_notebook(cells=cells)

    with pytest.raises(InputError, match="has 2 cells tagged"):
        declared_parameters(notebook, source="`03.ipynb`")


def test_a_notebook_without_the_tag_declares_nothing():
    assert declared_parameters(nbformat.v4.new_notebook(), source="x") == {}


@given(st.integers() | st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_survives_the_command_line(value):
    name = "k" if isinstance(value, int) else "rate"

    assert parsed(f"{name}={value!r}") == {name: value}
