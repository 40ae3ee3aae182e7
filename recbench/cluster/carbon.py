"""Grams of carbon dioxide for a kilowatt-hour, by country."""

from recbench.errors import InputError

__all__ = ["CARBON_G_PER_KWH", "carbon_kg"]

# Mean over 2023: Our World in Data's energy mix, as CodeCarbon 3.3.2 ships it (MIT). Copied, for
# CodeCarbon brings pandas, an HTTP client with telemetry and ten packages more for these numbers.
CARBON_G_PER_KWH = {
    "AUS": 549,
    "BRA": 98,
    "CHN": 582,
    "DEU": 381,
    "FRA": 56,
    "GBR": 238,
    "IND": 713,
    "IRL": 291,
    "JPN": 485,
    "NLD": 268,
    "POL": 662,
    "SGP": 471,
    "SWE": 41,
    "USA": 369,
}


def carbon_kg(joules: float, *, country: str) -> float:
    """Of electricity from a country's grid, by its ISO code of three letters.

    >>> carbon_kg(3.6e6, country="FRA")
    0.056

    Raises:
        InputError: a country that is not in the table.
    """
    if country not in CARBON_G_PER_KWH:
        known = ", ".join(CARBON_G_PER_KWH)
        raise InputError(f"`country` must be one of {known}, got {country!r}")
    return joules / 3.6e6 * CARBON_G_PER_KWH[country] / 1000
