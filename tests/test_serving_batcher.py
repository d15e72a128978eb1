"""The queue for the model: what shares a pass, who waits, who is refused, and how it ends."""

import contextlib
import threading
import time

import pytest

from dishvl_lib.serving.batcher import Batcher
from dishvl_lib.serving.errors import ServiceError
from dishvl_lib.serving.limits import Limits

PATIENCE_S = 20


class Answers:
    """Answers a prepared photo with itself, once `may_answer` is set; 'bad' is an error."""

    def __init__(self):
        self.passes = []
        self.began = threading.Semaphore(0)
        self.may_answer = threading.Event()
        self.may_answer.set()

    def answer_prepared(self, prepared):
        self.passes.append(list(prepared))
        self.began.release()
        assert self.may_answer.wait(PATIENCE_S)
        if "bad" in prepared:
            raise ValueError("bad is bad")
        return list(prepared)


@pytest.fixture
def answers():
    return Answers()


@pytest.fixture
def started(request):
    """Makes batchers that are closed at the end."""
    with contextlib.ExitStack() as at_end:

        def make(**limits):
            batcher = Batcher(Limits(**limits))
            batcher.start()
            at_end.callback(batcher.close)
            return batcher

        yield make


def submitted(batcher, answers, *prepared):
    with batcher.place() as place:
        return place.submit(answers, prepared)


def said(future, patience=PATIENCE_S):
    """The answer to a photo that was submitted alone."""
    (answer,) = future.result(patience)
    return answer


def test_a_photo_alone_is_answered_at_once(started, answers):
    batcher = started(max_wait_ms=10_000)
    began_at = time.monotonic()
    assert said(submitted(batcher, answers, "a")) == "a"
    assert time.monotonic() - began_at < 5


def test_what_waits_while_a_pass_runs_shares_the_next_one(started, answers):
    batcher = started(max_batch=3)
    answers.may_answer.clear()
    futures = [submitted(batcher, answers, 0)]
    assert answers.began.acquire(timeout=PATIENCE_S)
    futures += [submitted(batcher, answers, number) for number in range(1, 6)]
    answers.may_answer.set()
    assert [said(future) for future in futures] == list(range(6))
    assert answers.passes == [[0], [1, 2, 3], [4, 5]]


def test_a_photo_waits_for_another_that_is_in_flight(started, answers):
    batcher = started(max_wait_ms=PATIENCE_S * 1000)
    with batcher.place() as in_flight:
        first = submitted(batcher, answers, "first")
        assert not answers.began.acquire(timeout=0.2)
        second = in_flight.submit(answers, ["second"])
    assert (said(first), said(second)) == ("first", "second")
    assert answers.passes == [["first", "second"]]


def test_it_waits_no_longer_than_it_was_told(started, answers):
    batcher = started(max_wait_ms=50)
    with batcher.place():
        assert said(submitted(batcher, answers, "first")) == "first"


def test_it_stops_waiting_for_one_whose_preparation_failed(started, answers):
    batcher = started(max_wait_ms=PATIENCE_S * 1000)
    began_at = time.monotonic()
    with pytest.raises(KeyError), batcher.place():
        first = submitted(batcher, answers, "first")
        raise KeyError
    assert said(first) == "first"
    assert time.monotonic() - began_at < PATIENCE_S / 2


def test_one_that_fails_fails_no_other(started, answers):
    batcher = started()
    answers.may_answer.clear()
    submitted(batcher, answers, 0)
    assert answers.began.acquire(timeout=PATIENCE_S)
    futures = [submitted(batcher, answers, photo) for photo in ("a", "bad", "b")]
    answers.may_answer.set()
    assert said(futures[0]) == "a"
    assert said(futures[2]) == "b"
    with pytest.raises(ValueError, match="bad is bad"):
        futures[1].result(PATIENCE_S)


def test_photos_of_another_gallery_have_a_pass_of_their_own(started, answers):
    batcher = started()
    other = Answers()
    answers.may_answer.clear()
    futures = [submitted(batcher, answers, 0)]
    assert answers.began.acquire(timeout=PATIENCE_S)
    asked = [(answers, "a"), (other, "b"), (other, "c"), (answers, "d")]
    futures += [submitted(batcher, *question) for question in asked]
    answers.may_answer.set()
    assert [said(future) for future in futures] == [0, "a", "b", "c", "d"]
    assert other.passes == [["b", "c"]]


def test_the_dishes_of_a_tray_go_into_one_pass(started, answers):
    batcher = started(max_batch=4)
    answers.may_answer.clear()
    futures = [submitted(batcher, answers, 0)]
    assert answers.began.acquire(timeout=PATIENCE_S)
    trays = [("a", "b", "c"), ("d", "e"), ("f",)]
    futures += [submitted(batcher, answers, *tray) for tray in trays]
    answers.may_answer.set()
    assert [future.result(PATIENCE_S) for future in futures[1:]] == [list(tray) for tray in trays]
    assert answers.passes == [[0], ["a", "b", "c"], ["d", "e", "f"]]


def test_a_tray_of_more_dishes_than_a_pass_holds_has_several_of_its_own(started, answers):
    batcher = started(max_batch=2)
    answers.may_answer.clear()
    futures = [submitted(batcher, answers, 0)]
    assert answers.began.acquire(timeout=PATIENCE_S)
    futures += [submitted(batcher, answers, *"abc"), submitted(batcher, answers, "d")]
    answers.may_answer.set()
    assert futures[1].result(PATIENCE_S) == ["a", "b", "c"]
    assert said(futures[2]) == "d"
    assert answers.passes == [[0], ["a", "b"], ["c"], ["d"]]


def test_a_tray_that_fails_fails_no_other(started, answers):
    batcher = started()
    answers.may_answer.clear()
    submitted(batcher, answers, 0)
    assert answers.began.acquire(timeout=PATIENCE_S)
    futures = [submitted(batcher, answers, *tray) for tray in (("a", "bad"), ("b", "c"))]
    answers.may_answer.set()
    assert futures[1].result(PATIENCE_S) == ["b", "c"]
    with pytest.raises(ValueError, match="bad is bad"):
        futures[0].result(PATIENCE_S)


def test_the_dishes_of_a_tray_count_as_photos_that_wait(started, answers):
    batcher = started(queue=4)
    answers.may_answer.clear()
    futures = [submitted(batcher, answers, *"abcd")]
    with pytest.raises(ServiceError) as refused, batcher.place():
        pass
    assert refused.value.status == 503
    answers.may_answer.set()
    assert futures[0].result(PATIENCE_S) == list("abcd")


def test_beyond_the_queue_a_photo_is_refused_and_may_come_again(started, answers):
    batcher = started(queue=2)
    answers.may_answer.clear()
    futures = [submitted(batcher, answers, number) for number in range(2)]
    with pytest.raises(ServiceError) as refused, batcher.place():
        pass
    assert refused.value.status == 503
    assert refused.value.headers["Retry-After"] == "1"
    answers.may_answer.set()
    assert [said(future) for future in futures] == [0, 1]
    assert said(submitted(batcher, answers, "again")) == "again"


def test_what_was_taken_is_answered_before_it_ends(started, answers):
    batcher = started()
    answers.may_answer.clear()
    with batcher.place() as late:
        futures = [submitted(batcher, answers, number) for number in range(3)]
        closing = threading.Thread(target=batcher.close)
        closing.start()
        while batcher.is_taking:
            time.sleep(0.01)
        with pytest.raises(ServiceError, match="ending"), batcher.place():
            pass
        answers.may_answer.set()
        futures.append(late.submit(answers, ["late"]))
    closing.join(PATIENCE_S)
    assert [said(future, 0) for future in futures] == [0, 1, 2, "late"]
