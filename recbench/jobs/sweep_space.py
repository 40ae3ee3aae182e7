"""What a sweep varies: W&B's words for it, checked against the notebook's typed parameters."""

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from recbench.errors import InputError
from recbench.jobs.parameters import Parameter, resolve_parameters
from recbench.jobs.space import Choice, Range, Space

__all__ = ["SweepSpace", "from_texts"]

RANGES = {"uniform": False, "int_uniform": False, "log_uniform_values": True}  # log scale?
WORDS = {"value", "values", "min", "max", "distribution"}
NUMBERS = {"int": (int,), "float": (int, float), "any": (int, float)}
SCALARS = {"int", "float", "bool", "str", "any"}


@dataclass(frozen=True, slots=True)
class SweepSpace:
    """``varied`` has a choice or range a parameter; ``fixed`` are the others that are given."""

    varied: Space
    fixed: Mapping[str, Any]

    @classmethod
    def of(
        cls, parameters: Mapping[str, Any], declared: Mapping[str, Parameter], *, source: str
    ) -> Self:
        """The space that W&B's ``parameters`` say.

        Each is ``{"value": x}``, ``{"values": [...]}`` or ``{"min": low, "max": high}``, the last
        on a log scale with ``"distribution": "log_uniform_values"``; whole numbers for a parameter
        that is one.

        Args:
            parameters: by name.
            declared: of the notebook.
            source: how error messages call the notebook.

        Raises:
            InputError: a name or value that the notebook does not take, words that are not known
                here, or nothing to vary.
        """
        varied: dict[str, Choice | Range] = {}
        fixed: dict[str, Any] = {}
        for name, said in parameters.items():
            resolve_parameters(declared, {name: _some_value(name, said)}, source=source)
            if "value" in said:
                fixed[name] = declared[name].check(said["value"])
            elif "values" in said:
                varied[name] = _choice(declared[name], said)
            else:
                varied[name] = _range(declared[name], said)
        if not varied:
            raise InputError("A sweep needs something to vary: `values`, or `min` and `max`")
        return cls(varied, fixed)

    @property
    def n_points(self) -> float:
        """How many combinations there are; infinite where a range is of numbers not whole."""
        return math.prod(_size(values) for values in self.varied.values())

    def points(self) -> list[dict[str, Any]]:
        """Every combination of what is varied; the last parameter changes first.

        Raises:
            InputError: a range of numbers that are not whole.
        """
        every = [_every(name, values) for name, values in self.varied.items()]
        return [dict(zip(self.varied, point, strict=True)) for point in itertools.product(*every)]


def from_texts(texts: tuple[str, ...], declared: Mapping[str, Parameter]) -> dict[str, Any]:
    """``name=a,b,c`` and ``name=low..high``, with ``log:`` before ``low``, in W&B's words.

    Raises:
        InputError: a text of another form, or a value that the parameter cannot have.
    """
    said: dict[str, Any] = {}
    for text in texts:
        name, equals, values = text.partition("=")
        if not equals or not values:
            raise InputError(f"`-s {text}`: write `-s name=a,b,c` or `-s name=low..high`")
        parameter = declared.get(name, Parameter(name, None, "any"))  # told later
        is_log = values.startswith("log:")
        low, dots, high = values.removeprefix("log:").partition("..")
        if dots:
            bounds = {"min": parameter.parse(low), "max": parameter.parse(high)}
            said[name] = bounds | ({"distribution": "log_uniform_values"} if is_log else {})
        else:
            said[name] = {"values": [parameter.parse(each) for each in values.split(",")]}
    return said


def _some_value(name: str, said: Any) -> Any:
    """One of those that it may have, to be checked."""
    if not isinstance(said, Mapping) or not said.keys() <= WORDS:
        raise InputError(f"`{name}` is {said!r}; a sweep knows {sorted(WORDS)} of a parameter")
    if "value" in said:
        return said["value"]
    if "values" in said:
        if not isinstance(said["values"], list) or not said["values"]:
            raise InputError(f"`values` of `{name}` must be a list, got {said['values']!r}")
        return said["values"][0]
    if not {"min", "max"} <= said.keys():
        raise InputError(f"`{name}` needs `value`, `values`, or `min` and `max`; got {dict(said)}")
    return said["min"]


def _choice(parameter: Parameter, said: Mapping[str, Any]) -> Choice:
    if parameter.kind not in SCALARS or said.get("distribution", "categorical") != "categorical":
        raise InputError(
            f"`{parameter.name}` cannot be swept over {dict(said)}; declared: "
            f"{parameter.describe()}"
        )
    return Choice(tuple(parameter.check(value) for value in said["values"]))


def _range(parameter: Parameter, said: Mapping[str, Any]) -> Range:
    low, high = parameter.check(said["min"]), parameter.check(said["max"])
    kinds = NUMBERS.get(parameter.kind, ())
    if type(low) not in kinds or type(high) not in kinds:
        raise InputError(
            f"`{parameter.name}` cannot lie between {said['min']!r} and {said['max']!r}; "
            f"declared: {parameter.describe()}"
        )
    distribution = said.get("distribution", "uniform")
    if distribution not in RANGES:
        raise InputError(
            f"`distribution` of `{parameter.name}` must be one of {[*RANGES]}, got {distribution!r}"
        )
    return Range(low, high, log=RANGES[distribution])


def _size(values: Choice | Range) -> float:
    if isinstance(values, Choice):
        return len(set(values.values))
    if isinstance(values.low, int) and isinstance(values.high, int):
        return values.high - values.low + 1
    return math.inf


def _every(name: str, values: Choice | Range) -> list[Any]:
    if isinstance(values, Choice):
        return list(dict.fromkeys(values.values))
    if isinstance(values.low, int) and isinstance(values.high, int):
        return list(range(values.low, values.high + 1))
    raise InputError(f"A grid needs `values` of `{name}`; it lies between numbers")
