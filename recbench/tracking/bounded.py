"""A call that may hang, given a limit."""

import threading
from collections.abc import Callable
from typing import TypeVar

__all__ = ["within"]

Result = TypeVar("Result")


def within(seconds: float, action: Callable[[], Result]) -> Result:
    """What ``action`` gives or raises; it runs in a thread that is left behind if it takes longer.

    Raises:
        TimeoutError: it had not returned after ``seconds``.
    """
    results: list[Result] = []
    errors: list[BaseException] = []

    def work() -> None:
        try:
            results.append(action())
        except BaseException as error:  # noqa: BLE001  # raised again where it was asked for
            errors.append(error)

    thread = threading.Thread(target=work, daemon=True, name="bounded call")
    thread.start()
    thread.join(seconds)
    if errors:
        raise errors[0]
    if not results:
        raise TimeoutError(f"no answer within {seconds:g} s")
    return results[0]
