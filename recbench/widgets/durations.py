"""Seconds as people say them."""

__all__ = ["duration"]

UNITS = ((86_400.0, "d"), (3_600.0, "h"), (60.0, "min"), (1.0, "s"))


def duration(seconds: float) -> str:
    """In the largest unit that makes it 1 or more.

    >>> duration(90), duration(0.5), duration(200_000)
    ('1.5 min', '0.5 s', '2.31 d')
    """
    size, unit = next(((s, u) for s, u in UNITS if seconds >= s), UNITS[-1])
    value = seconds / size
    return f"{value:,.0f} {unit}" if value >= 1000 else f"{value:.3g} {unit}"
