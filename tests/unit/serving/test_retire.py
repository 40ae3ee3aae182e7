"""What serves no longer gives its memory back, and what is in use keeps it."""

import threading
from dataclasses import dataclass

import numpy as np
import psutil
import pytest

from recbench.serving import retire as module
from recbench.serving.retire import retire

SIZE = 64 << 20


@dataclass(frozen=True, slots=True)
class Held:
    large: object
    parts: object
    name: str = "held"


def resident():
    return psutil.Process().memory_info().rss


def test_the_memory_of_arrays_goes_also_where_a_view_of_them_is_left():
    array = np.ones(SIZE, dtype=np.uint8)
    before = resident()
    view = array[:10]
    last = [Held(array, (np.zeros(3), {"a": "text"}, None))]
    del array
    retire(last)
    assert last == []
    assert resident() < before - SIZE * 3 // 4
    assert view.tolist() == [1] * 10  # its page is not a whole one of the array


def test_what_somebody_still_uses_is_waited_for(monkeypatch):
    array = np.ones(SIZE, dtype=np.uint8)
    last = [Held(array, ())]
    using = [last[0]]
    monkeypatch.setattr(module, "LOOK_S", 0.01)
    thread = threading.Thread(target=retire, args=(last,))
    thread.start()
    thread.join(0.1)
    assert thread.is_alive()
    assert array[SIZE // 2] == 1
    using.clear()
    thread.join(60)
    assert array[SIZE // 2] == 0


def test_what_somebody_uses_for_too_long_is_left_alone(monkeypatch):
    monkeypatch.setattr(module, "PATIENCE_S", 0.0)
    array = np.ones(SIZE, dtype=np.uint8)
    last = [Held(array, ())]
    using = last[0]
    retire(last)
    assert last == []
    assert using.large[SIZE // 2] == 1


def test_what_is_no_array_is_freed_by_the_object_itself():
    freed = []

    @dataclass(frozen=True, slots=True)
    class Indexed(Held):
        def release(self):
            freed.append(self.name)

    retire([Indexed(np.ones(3), ())])
    assert freed == ["held"]


@pytest.mark.parametrize("size", [0, 10, module.LARGE_BYTES - 1])
def test_small_arrays_are_not_touched(size):
    array = np.ones(size, dtype=np.uint8)
    retire([Held(array, ())])
    assert array.all()
