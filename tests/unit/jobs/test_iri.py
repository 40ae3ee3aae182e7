"""No process pays for a grammar that it does not use; who checks an IRI still gets it checked."""

import subprocess
import sys

CODE = """
import sys
import recbench.jobs.run
assert "rfc3987_syntax.syntax_helpers" not in sys.modules
from jsonschema import Draft202012Validator as Schema
schema = Schema({"format": "iri"}, format_checker=Schema.FORMAT_CHECKER)
for text in ("https://example.org/ä", "no scheme", "https://example.org/b"):
    print(schema.is_valid(text))
assert "rfc3987_syntax.syntax_helpers" in sys.modules
"""


def test_the_grammar_is_compiled_when_an_iri_is_checked_and_not_before():
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "False", "True"]
