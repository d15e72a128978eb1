"""Photos that are decoded side by side stay below a limit together."""

import threading

import pytest

from dishvl_lib.core.decoding_memory import DecodingMemory


def decode_together(memory, sizes):
    """(most that was held at once, thread of each size) when threads decode at the same time."""
    most = []
    threads = {}
    started = threading.Barrier(len(sizes))

    def note(size):
        most.append(memory.in_use)
        threads.setdefault(size, set()).add(threading.current_thread().name)

    def hold(size):
        started.wait()
        memory.decode(size, lambda: note(size))

    workers = [threading.Thread(target=hold, args=(size,)) for size in sizes]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(timeout=10)
    assert len(most) == len(sizes)
    memory.close()
    return max(most), threads


def test_what_is_held_together_stays_below_the_limit():
    most, _ = decode_together(DecodingMemory(10), [4] * 20)
    assert most <= 10


def test_a_photo_beyond_the_limit_is_decoded_alone():
    most, _ = decode_together(DecodingMemory(10), [50, 3, 50, 3])
    assert most == 50


def test_large_photos_share_a_thread():
    _, threads = decode_together(DecodingMemory(10, large=5), [5, 5, 5, 1, 1, 1])
    assert len(threads[5]) == 1
    assert len(threads[1]) == 3


def test_memory_is_given_back_after_an_error():
    memory = DecodingMemory(10)
    with pytest.raises(ZeroDivisionError):
        memory.decode(5, lambda: 1 // 0)
    assert memory.in_use == 0
