"""The parameters a notebook declares, and the values they are given."""

import ast
import difflib
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from nbformat import NotebookNode

from recbench.errors import InputError

__all__ = ["Parameter", "declared_parameters", "parse_assignments", "resolve_parameters"]

KINDS = {"bool": bool, "int": int, "float": float, "str": str, "list": list, "dict": dict}
NULLS = {"none", "null"}


@dataclass(frozen=True, slots=True)
class Parameter:
    """One name of the cell tagged ``parameters``.

    ``kind`` is a key of KINDS, or ``any`` where neither annotation nor default tells; ``element``
    is the kind of a list's members, or ``any``.
    """

    name: str
    default: Any
    kind: str
    element: str = "any"
    nullable: bool = False

    def describe(self) -> str:
        """``name: int = 3``, as the notebook's author would write it."""
        kind = (
            f"list[{self.element}]" if self.kind == "list" and self.element != "any" else self.kind
        )
        return f"{self.name}: {kind}{' | None' if self.nullable else ''} = {self.default!r}"

    def parse(self, text: str) -> Any:
        """The value that ``text`` (from the command line) stands for; checked."""
        if self.nullable and text.lower() in NULLS:
            return None
        if self.kind == "str":
            return text
        if self.kind == "bool":
            return self.check({"true": True, "false": False}.get(text.lower(), text))
        return self.check(_literal(text))

    def check(self, value: Any) -> Any:
        """``value`` in this parameter's kind; a whole number is accepted as a float.

        Raises:
            InputError: another kind, or a number that is not finite.
        """
        if value is None and self.nullable:
            return None
        value = self._as(value, self.kind)
        return (
            [self._as(member, self.element) for member in value] if self.kind == "list" else value
        )

    def _as(self, value: Any, kind: str) -> Any:
        if kind == "float" and type(value) is int:
            return float(value)
        if isinstance(value, float) and not math.isfinite(value):
            self._refuse(value)
        if kind != "any" and type(value) is not KINDS[kind]:
            self._refuse(value)
        return value

    def _refuse(self, value: Any) -> Any:
        raise InputError(
            f"Parameter `{self.name}` cannot be {value!r}; declared: {self.describe()}"
        )


def declared_parameters(notebook: NotebookNode, *, source: str) -> dict[str, Parameter]:
    """What the notebook's one cell tagged ``parameters`` declares; empty without such a cell.

    Args:
        notebook: version 4.
        source: how error messages call the notebook.

    Raises:
        InputError: several such cells, or a line in it that is not ``name = literal``.
    """
    cells = [
        cell
        for cell in notebook.cells
        if cell.cell_type == "code" and "parameters" in cell.metadata.get("tags", [])
    ]
    if len(cells) > 1:
        raise InputError(f"{source} has {len(cells)} cells tagged `parameters`; keep one")
    statements = _statements(cells[0].source, source=source) if cells else []
    parameters = [_parameter(statement, source=source) for statement in statements]
    return {parameter.name: parameter for parameter in parameters}


def parse_assignments(
    declared: Mapping[str, Parameter], assignments: Iterable[str], *, source: str
) -> dict[str, Any]:
    """The values in ``name=value`` texts.

    Raises:
        InputError: no ``=``, a name that ``source`` does not declare, a value of another kind.
    """
    values = {}
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        if not equals:
            raise InputError(f"`-p {assignment}` has no `=`; write `-p name=value`")
        _require_known(name, declared, source=source)
        values[name] = declared[name].parse(text)
    return values


def resolve_parameters(
    declared: Mapping[str, Parameter], given: Mapping[str, Any], *, source: str
) -> dict[str, Any]:
    """Every declared parameter with the value it will have: the given one, else its default.

    Raises:
        InputError: a name that ``source`` does not declare, or a value of another kind.
    """
    for name in given:
        _require_known(name, declared, source=source)
    return {
        name: parameter.check(given[name]) if name in given else parameter.default
        for name, parameter in declared.items()
    }


def _require_known(name: str, declared: Mapping[str, Parameter], *, source: str) -> None:
    if name in declared:
        return
    close = difflib.get_close_matches(name, declared, n=1)
    hint = f" Did you mean `{close[0]}`?" if close else ""
    known = "; ".join(parameter.describe() for parameter in declared.values()) or "none"
    raise InputError(f"{source} has no parameter `{name}`.{hint} It has: {known}")


def _statements(code: str, *, source: str) -> list[ast.stmt]:
    try:
        return ast.parse(code).body
    except SyntaxError as error:
        raise InputError(f"{source}: the parameters cell is not Python: {error}") from error


def _parameter(statement: ast.stmt, *, source: str) -> Parameter:
    match statement:
        case ast.Assign(targets=[ast.Name(id=name)], value=value):
            annotation = ""
        case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
            annotation = ast.unparse(statement.annotation)
        case _:
            raise _not_a_literal(statement, source)
    try:
        default = ast.literal_eval(value)
    except ValueError as error:
        raise _not_a_literal(statement, source) from error
    return _typed(name, default, annotation)


def _not_a_literal(statement: ast.stmt, source: str) -> InputError:
    line = ast.unparse(statement)
    return InputError(
        f"{source}: `{line}` in the parameters cell is not `name = literal`; "
        "move what is derived into the next cell"
    )


def _typed(name: str, default: Any, annotation: str) -> Parameter:
    """The kinds that an annotation (``int | None``, ``list[str]``) or else the default states."""
    if not annotation:
        kind = "any" if default is None else type(default).__name__
        kinds = {type(member).__name__ for member in default} if kind == "list" else set()
        element = kinds.pop() if len(kinds) == 1 else "any"
        return Parameter(name, default, _known(kind), _known(element), default is None)
    parts = [part.strip() for part in annotation.strip("'\"").split("|")]
    base, _, element = next((part for part in parts if part != "None"), "any").partition("[")
    nullable = default is None or "None" in parts
    return Parameter(name, default, _known(base), _known(element.rstrip("]")), nullable)


def _known(kind: str) -> str:
    return kind if kind in KINDS else "any"


def _literal(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text
