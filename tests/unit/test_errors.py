"""Errors sort by who can mend them, which decides the exit code."""

import pytest

from recbench import errors


@pytest.mark.parametrize("name", ["SchemaError", "LeakageError", "ReleaseError"])
def test_unusable_input_is_an_input_error_and_a_value_error(name):
    assert issubclass(getattr(errors, name), errors.InputError)
    assert issubclass(errors.InputError, ValueError)


@pytest.mark.parametrize("name", ["DownloadError", "JobError"])
def test_failure_of_the_run_is_not_the_callers_fault(name):
    assert not issubclass(getattr(errors, name), errors.InputError)
    assert issubclass(getattr(errors, name), RuntimeError)
