from recbench.jobs.outcomes import Outcome
from recbench.jobs.refresh_tables import history_table
from recbench.refresh.forecast import Done
from recbench.widgets.refresh import forecast_figure


def test_before_the_first_refresh_the_history_is_empty_and_can_be_drawn():
    history = history_table([])

    assert len(history) == 0
    assert forecast_figure(history).axes[0].get_xlabel() == "refresh"


def test_a_refresh_is_a_row_of_the_history():
    done = Done(n_events=7, share=0.01, cpu_s=1.5, gain=0.1, gain_error=None, predicted=None)
    outcome = Outcome(decision="publish", reasons=(), release="r", current="r", done=done)

    (row,) = history_table([outcome]).to_dicts()

    assert row["refresh"] == 1
    assert (row["events"], row["CPU s"], row["decision"]) == (7, 1.5, "publish")
    assert (row["measured gain"], row["expected gain"]) == (0.1, None)
