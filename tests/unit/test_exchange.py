"""The contract of handlers: answers, waits, refusals, clients that hang up."""

from collections.abc import Callable
from dataclasses import replace
from urllib.parse import parse_qs

import pytest
import trio
from hypothesis import example, given
from hypothesis import strategies as st
from trio.testing import MockClock, wait_all_tasks_blocked

from supernode.clock import Clock
from supernode.core.errors import BadField, DomainError, NotFound
from supernode.core.events import TaskSized
from supernode.core.identity import ClientId, TaskId
from supernode.exchange import Answer, Request, Responder, Wait
from supernode.feed import Feed

X, C = TaskId("x"), ClientId("c")
NEWS = TaskSized(at=0, task=X, length=None, piece_size=1)
DONE = Answer(200, b"done")


def at(seq: int, answer: Answer = DONE) -> Answer:
    """Return the answer as it is given when so many events have happened."""
    return replace(answer, headers={"Supernode-Seq": str(seq)})


def explain(error: DomainError) -> Answer:
    return Answer(400, str(error).encode())


class Patient:
    """A handler that waits until it is told that there is something; notes each time it is asked.

    Args:
        seconds: how long it is willing to wait.
    """

    def __init__(self, clock: Clock, seconds: float, ready: Callable[[], bool]) -> None:
        self.asked: list[bool] = []
        self._clock = clock
        self._ready = ready
        self._until = clock.now() + seconds

    def __call__(self, request: Request) -> Answer | Wait:
        return Wait(X, C, self._until, self._again)

    def _again(self, time_is_over: bool) -> Answer | Wait:
        self.asked.append(time_is_over)
        if self._ready():
            return DONE
        return Answer(204) if time_is_over else Wait(X, C, self._until, self._again)


async def test_an_answer_is_the_answer() -> None:
    clock = Clock.started_now()
    feed = Feed()
    answer = await Responder(feed, clock, explain).respond(lambda _: DONE, Request())
    assert answer == at(0)


@pytest.mark.parametrize("status", [200, 201, 204, 304, 400, 404, 503])
async def test_an_answer_says_which_event_it_is_true_at(status: int) -> None:
    feed = Feed()
    feed.publish([NEWS, NEWS])

    def handler(_: Request) -> Answer:
        feed.publish([NEWS])
        return Answer(status, headers={"X": "y"})

    answer = await Responder(feed, Clock.started_now(), explain).respond(handler, Request())
    assert answer.headers == {"X": "y", "Supernode-Seq": "3"}


async def test_a_handler_is_given_the_request() -> None:
    request = Request(path_fields={"id": "x"}, body=b"body")
    seen: list[Request] = []

    def handler(asked: Request) -> Answer:
        seen.append(asked)
        return DONE

    await Responder(Feed(), Clock.started_now(), explain).respond(handler, request)
    assert seen == [request]


async def test_a_wait_is_answered_when_there_is_something(autojump_clock: MockClock) -> None:
    feed, clock = Feed(), Clock.started_now()
    before = trio.current_time()
    handler = Patient(clock, 30, lambda: len(handler.asked) == 3)
    answers: list[Answer] = []

    async def respond() -> None:
        answers.append(await Responder(feed, clock, explain).respond(handler, Request()))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(respond)
        for _ in range(3):
            await trio.sleep(2)
            feed.publish([NEWS])
    assert answers == [at(3)]
    assert handler.asked == [False, False, False]
    assert trio.current_time() == before + 6
    assert feed._topics == {}


async def test_a_wait_that_is_over_is_answered_all_the_same(autojump_clock: MockClock) -> None:
    feed, clock = Feed(), Clock.started_now()
    before = trio.current_time()
    handler = Patient(clock, 30, lambda: False)
    answer = await Responder(feed, clock, explain).respond(handler, Request())
    assert answer == at(0, Answer(204))
    assert handler.asked == [True]
    assert trio.current_time() - before == pytest.approx(30)
    assert feed._topics == {}


@given(
    wall=st.floats(0, 1e10),
    start=st.floats(0, 1e7),
    elapsed=st.floats(0, 1e7),
    seconds=st.floats(0.001, 30),
)
@example(wall=0.0, start=1.6339288160670549, elapsed=2097151.0, seconds=1.7759429994941023)
def test_the_end_of_a_wait_is_recognised_whatever_the_rounding(
    wall: float, start: float, elapsed: float, seconds: float
) -> None:
    """A wait that ends a rounding error too early would be asked again and again."""

    async def wait() -> int:
        clock = Clock(wall, trio.current_time() - start)
        await trio.sleep(elapsed)
        handler = Patient(clock, seconds, lambda: len(handler.asked) > 3)
        with trio.move_on_after(60):
            await Responder(Feed(), clock, explain).respond(handler, Request())
        return len(handler.asked)

    assert trio.run(wait, clock=MockClock(autojump_threshold=0)) == 1


async def test_what_is_wrong_is_explained() -> None:
    def handler(_: Request) -> Answer:
        raise BadField("num", "is no number")

    answer = await Responder(Feed(), Clock.started_now(), explain).respond(handler, Request())
    assert answer == at(0, Answer(400, b"num: is no number"))


async def test_what_turns_out_wrong_while_waiting_is_explained(
    autojump_clock: MockClock,
) -> None:
    def again(_: bool) -> Answer:
        raise NotFound("task", "x")

    clock = Clock.started_now()
    wait = Wait(X, C, clock.now() + 1, again)
    answer = await Responder(Feed(), clock, explain).respond(lambda _: wait, Request())
    assert answer == at(0, Answer(400, b"no such task: x"))


async def test_a_defect_is_not_explained_away() -> None:
    def handler(_: Request) -> Answer:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await Responder(Feed(), Clock.started_now(), explain).respond(handler, Request())


async def test_a_client_that_hangs_up_is_not_asked_for_again() -> None:
    with trio.fail_after(10):
        feed, clock = Feed(), Clock.started_now()
        handler = Patient(clock, 30, lambda: True)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(Responder(feed, clock, explain).respond, handler, Request())
            await wait_all_tasks_blocked()
            feed.publish([NEWS])  # at the very moment
            nursery.cancel_scope.cancel()
    assert handler.asked == []
    assert feed._topics == {}


async def test_nobody_waits_for_a_daemon_that_is_about_to_stop(autojump_clock: MockClock) -> None:
    feed, clock = Feed(), Clock.started_now()
    before = trio.current_time()
    responder = Responder(feed, clock, explain)
    handler, late = (Patient(clock, 30, lambda: False) for _ in range(2))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(responder.respond, handler, Request())
        await wait_all_tasks_blocked()
        responder.close()
        nursery.start_soon(responder.respond, late, Request())
    assert handler.asked == late.asked == [True]
    assert trio.current_time() == before


@pytest.mark.parametrize(
    ("query", "fields"),
    [
        ("", {}),
        ("a=1&b=2", {"a": ["1"], "b": ["2"]}),
        ("a=1&a=2", {"a": ["1", "2"]}),
        ("a=&b", {"a": [""], "b": [""]}),
        ("a=x%20y+z%2B", {"a": ["x y z+"]}),
        ("dstCid=cdnnode:127.0.0.1~0f", {"dstCid": ["cdnnode:127.0.0.1~0f"]}),
        ("a=%FF%zz", {"a": ["�%zz"]}),
        ("a=1;b=2", {"a": ["1;b=2"]}),
    ],
)
def test_the_querys_fields(query: str, fields: dict[str, list[str]]) -> None:
    assert Request(query_string=query).query == fields


def test_a_query_of_too_many_fields_is_refused() -> None:
    assert len(Request(query_string="&".join(f"f{n}=" for n in range(64))).query) == 64
    with pytest.raises(BadField):
        _ = Request(query_string="&".join(f"f{n}=" for n in range(65))).query


@given(st.lists(st.tuples(st.text("ab:~é /?", max_size=3), st.text("ab:~é=/?", max_size=3))))
def test_a_plain_query_reads_like_any_other(fields: list[tuple[str, str]]) -> None:
    query = "&".join(f"{name}={value}" for name, value in fields)
    assert Request(query_string=query).query == parse_qs(query, keep_blank_values=True)
