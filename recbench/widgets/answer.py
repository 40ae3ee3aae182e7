"""One request to a running service, as anybody would send it."""

import http.client
import json
import shlex
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any

import polars as pl

from recbench import columns as c
from recbench.errors import InputError

__all__ = ["answer_table", "answer_to", "curl_line"]

LIMIT_S = 5.0


def answer_to(address: str, *, user_id: int, k: int) -> dict[str, Any]:
    """What the service at ``address`` recommends to a user; takes five seconds at most.

    Args:
        address: ``host:port``.
        user_id: anybody: whom nobody knows gets recency popularity.
        k: list length.

    Raises:
        InputError: nothing answers there, or it is no list.
    """
    request = urllib.request.Request(f"http://{address}/recommend", data=_body(user_id, k))
    try:
        with urllib.request.urlopen(request, timeout=LIMIT_S) as answer:
            held: dict[str, Any] = json.loads(answer.read())
    except urllib.error.HTTPError as error:
        told = error.read().decode(errors="replace")[:200]
        raise InputError(f"{address} answers {error.code}: {told}") from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise InputError(
            f"No service answers at {address} ({error}). Start one in a terminal, "
            f"`recbench serve --port {address.rpartition(':')[2]}`, and ask again"
        ) from error
    if "items" not in held:
        raise InputError(f"What answers at {address} is no service of recommendations: {held}")
    return held


def curl_line(address: str, *, user_id: int, k: int) -> str:
    """The same request for a terminal."""
    return f"curl -s {address}/recommend -d {shlex.quote(_body(user_id, k).decode())}"


def answer_table(answer: Mapping[str, Any], titles: pl.DataFrame) -> pl.DataFrame:
    """``rank, item_id, title, score`` of the list; without titles that column is left out.

    Args:
        answer: as ``answer_to`` gives it.
        titles: ``item_id`` and, where there is one, ``title``.
    """
    rows = [(rank, item[c.ITEM_ID], item[c.SCORE]) for rank, item in enumerate(answer["items"], 1)]
    schema = {c.RANK: pl.Int64, c.ITEM_ID: pl.Int64, c.SCORE: pl.Float64}
    table = pl.DataFrame(rows, schema=schema, orient="row")
    if c.TITLE not in titles.columns:
        return table
    named = table.join(titles.select(c.ITEM_ID, c.TITLE), on=c.ITEM_ID, how="left")
    return named.sort(c.RANK).select(c.RANK, c.ITEM_ID, c.TITLE, c.SCORE)


def _body(user_id: int, k: int) -> bytes:
    return json.dumps({c.USER_ID: user_id, "k": k}).encode()
