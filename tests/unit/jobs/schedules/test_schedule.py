import pytest

from recbench.errors import InputError
from recbench.jobs.schedules.schedule import Schedule


@pytest.mark.parametrize(
    ("options", "shown"),
    [
        ({"name": "../up"}, "'../up'"),
        ({"name": ""}, "''"),
        ({"missed": "never"}, "'never'"),
        ({"retry": "later"}, "'later'"),
        ({"retries": -1}, "-1 and 60"),
        ({"backoff_s": -2.0}, "0 and -2"),
        ({"timeout_s": 0}, "got 0 s"),
        ({"within_s": 60.0}, "60.0 and ''"),
        ({"tariff": "t.csv"}, "None and 't.csv'"),
        ({"takes_s": 0.0}, "`takes_s` must be positive, got 0"),
        ({"idle": True, "on": "local"}, "leave it away, or `on` local"),
        ({"notify_url": "file:///etc/passwd"}, "file:///etc/passwd"),
    ],
)
def test_what_cannot_be_is_refused(quarterly, options, shown):
    with pytest.raises(InputError, match=shown):
        quarterly(**options)


@pytest.mark.parametrize(
    ("change", "shown"),
    [
        ({"colour": "red"}, "colour"),
        ({"times": {"daily": 1}}, "KeyError"),
        ({"created_at": "yesterday"}, "yesterday"),
    ],
)
def test_what_is_no_schedule_is_refused(quarterly, change, shown):
    with pytest.raises(InputError, match=shown):
        Schedule.from_json(quarterly().as_json() | change)
