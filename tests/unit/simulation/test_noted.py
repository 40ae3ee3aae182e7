import numpy as np

from recbench.datasets.world.protocol import Feedback
from recbench.simulation.noted import Noted


def test_without_waiting_everything_is_given_out_once(exposures, clicks, new_items):
    noted = Noted()
    shown = exposures((0, 0, 0.0), (1, 1, 0.5))
    noted.note(Feedback(1.0, new_items(), shown, clicks(shown.take(np.array([1])))))
    first, hits = noted.taken(1.0)

    assert (len(first), len(hits)) == (2, 1)
    assert [len(part) for part in noted.taken(2.0)] == [0, 0]


def test_an_exposure_waits_for_its_label_and_a_later_one_is_lost(exposures, clicks, new_items):
    noted = Noted(wait_h=1.0)
    shown = exposures((0, 0, 0.0), (1, 1, 0.5), (2, 2, 0.9))
    nothing = clicks(shown.take(np.zeros(0, dtype=np.int64)))
    noted.note(Feedback(1.0, new_items(), shown, nothing))
    in_time = clicks(shown.take(np.array([1])), after_h=0.8)
    too_late = clicks(shown.take(np.array([0])), after_h=1.2)

    assert [len(part) for part in noted.taken(1.0)] == [0, 0]
    noted.note(Feedback(1.4, new_items(), exposures((3, 3, 1.3)), in_time))
    noted.note(Feedback(1.4, new_items(), exposures((3, 3, 1.3)), too_late))
    given, hits = noted.taken(1.4)
    assert given.user_ids.tolist() == [0]
    assert len(hits) == 0
    given, hits = noted.taken(1.6)
    assert given.user_ids.tolist() == [1]
    assert hits.of.user_ids.tolist() == [1]
    assert noted.taken(10.0)[0].user_ids.tolist() == [2, 3, 3]
