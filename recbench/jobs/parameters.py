"""A notebook's parameters: which there are, of which type, and what was given for them."""

import ast
import difflib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recbench.errors import InputError

__all__ = ["Parameter", "parameters_of", "resolved"]

TAG = "parameters"
ALLOWED = (bool, int, float, str, list, type(None))


@dataclass(frozen=True, slots=True)
class Parameter:
    """One assignment of the parameters cell."""

    name: str
    default: Any
    comment: str  # the line's comment: unit and meaning


def parameters_of(notebook: Path) -> dict[str, Parameter]:
    """The literals of the one cell tagged ``parameters``, by name.

    Raises:
        InputError: no such cell, more than one, or anything in it but literal assignments.
    """
    held = json.loads(notebook.read_text(encoding="utf-8"))
    cells = [c for c in held["cells"] if TAG in c.get("metadata", {}).get("tags", [])]
    if len(cells) != 1:
        raise InputError(f"{notebook} has {len(cells)} cells tagged {TAG!r}, expected one")
    source = "".join(cells[0]["source"])
    lines = source.splitlines()
    found = {}
    for statement in ast.parse(source).body:
        if not isinstance(statement, ast.Assign) or not isinstance(statement.targets[0], ast.Name):
            raise InputError(f"{notebook}: its {TAG} cell may only assign literals to names")
        try:
            default = ast.literal_eval(statement.value)
        except ValueError as error:
            text = ast.unparse(statement)
            raise InputError(f"{notebook}: `{text}` in its {TAG} cell is no literal") from error
        name = statement.targets[0].id
        comment = lines[statement.lineno - 1].partition("#")[2].strip()
        found[name] = Parameter(name, default, comment)
    return found


def resolved(notebook: Path, given: dict[str, Any]) -> dict[str, Any]:
    """Every parameter of the notebook with its given or default value.

    A value given as text is read as the type of the default.

    Raises:
        InputError: an unknown name, or a value of another type; before anything runs.
    """
    known = parameters_of(notebook)
    for name in given:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise InputError(
                f"{notebook.stem} has no parameter {name!r}{hint} It has {', '.join(known)}"
            )
    return {
        name: _coerced(given[name], parameter) if name in given else parameter.default
        for name, parameter in known.items()
    }


def _coerced(value: Any, parameter: Parameter) -> Any:
    default = parameter.default
    wanted = type(default)
    if isinstance(value, str) and wanted is not str:
        value = _from_text(value, parameter)
    if wanted is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    fits = type(value) is wanted or default is None or (value is None and default is None)
    if not fits or not isinstance(value, ALLOWED):
        raise InputError(
            f"`{parameter.name}` must be {wanted.__name__}, as its default {default!r}; "
            f"got {value!r}"
        )
    return value


def _from_text(text: str, parameter: Parameter) -> Any:
    if isinstance(parameter.default, bool):
        spelled = {"true": True, "false": False}
        return spelled.get(text.lower(), text)
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text
