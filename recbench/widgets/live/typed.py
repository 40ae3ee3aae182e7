"""What people type into dials, as values."""

from recbench.errors import InputError

__all__ = ["as_id", "as_ids"]


def as_id(text: str, *, what: str) -> int:
    """The number at the beginning; a title may follow.

    Raises:
        InputError: there is none.
    """
    word = text.split()[0] if text.split() else ""
    try:
        return int(word)
    except ValueError:
        raise InputError(f"A whole number is needed for the {what}, got {text!r}") from None


def as_ids(text: str, *, what: str) -> list[int]:
    """The numbers between commas; none of an empty text.

    Raises:
        InputError: a word is no number.
    """
    return [as_id(word, what=what) for word in text.split(",") if word.strip()]
