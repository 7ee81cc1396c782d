"""Why a number can be changed at a vendor without transactions, and never be told wrongly.

A vendor offers no transaction: a request can land twice, late, or never, and its answer can be
lost. A process of ours can die, or be paused and go on much later. Still, what Cordboard says of a
number must be what its callers get until somebody changes it again. The protocol:

1. A plan takes the *hold* of the number in the store; no other plan may touch it.
2. The vendor is read and compared with the plan's `before`; what differs is stale.
3. `sending` is committed before anything is sent, with a moment `send_by`.
4. The request is sent once, by the process that committed `sending`, and never after `send_by`.
5. With an answer the number is read back. Only what is seen is recorded: a yes is not success.
6. Without one, or where reading surprises, the change is `unknown`. The number stays held until
   the *quiet period* is over; then reading decides.
7. Another process may take the work over at any moment, with a new *fence*; the store refuses
   commits under an old one. Of a `sending` it cannot know whether it was sent: it waits until
   `send_by` and the quiet period are over, and reads. Nobody ever sends again.

Why it is safe. A plan sends at most once, because the right to send is the commit of `sending`,
and the fence lets one process commit it. A hold is let go in four cases only. Nothing was sent. Or
the request was refused. Or its effect was seen, and it has no second one. Or the quiet period,
which is no shorter than a request's life, has passed since it was sent, or since it could last be
sent: what has not landed by then never will. In none of them can anything of the plan still land,
so what reading showed stays true. And nothing is held for ever, because all that is waited for is
a moment: whichever process is left can take over, wait and read.

The tests try every run of that (`hold_model.py`): any number of plans one after the other, two
processes, death, pause and takeover at any point, any order at the vendor. Then they leave out one
part after the other; each time a shortest run that goes wrong is found, and shown.

What is taken for granted, and has to be true outside:
- Reading shows what callers get. Where it lags, the quiet period has to be longer by that.
- All processes have one clock, which runs on while a process or the machine sleeps. On one that
  stands still, a sleeper wakes *before* its `send_by`: the same as having none.
- Looking at that clock and sending are one step; so is sending and noting when. Where they can
  come apart by some time, the quiet period has to be longer by that time (tested below).
- A request's life includes its time in buffers and retransmission on our side.
- Where a third party changes the number too, a yes means done. If the vendor says yes first and
  acts later, the third party's change can be taken for ours (the last test shows it).
"""

from __future__ import annotations

from textwrap import dedent

import pytest
from tests.exams.hold_model import AT, UNTOLD, WORKERS, Claim, Design, Runs, State, explore


def told_is_true(s: State) -> bool:
    """(A) What was told is what callers get, until the next plan may be sending."""
    return s.step in ("sending", "unknown") or s.told in (UNTOLD, s.value)


def nothing_is_left(s: State) -> bool:
    """(A) Once a plan is settled, no request of it can take effect any more."""
    return not s.requests or (
        s.step in ("sending", "unknown") and not any(r.old for r in s.requests)
    )


def one_effect(s: State) -> bool:
    """(C) A call takes effect at most once."""
    return s.effects <= 1


def one_request(s: State) -> bool:
    """(D) No two requests for the number are under way, of one plan or of two."""
    return len(s.requests) <= 1


def plans_in_order(s: State) -> bool:
    """(D) No request of an earlier plan is sent after one of the newest."""
    newest = [r.left for r in s.requests if not r.old]
    return all(r.left <= left for r in s.requests if r.old for left in newest)


def words_fit(s: State) -> bool:
    """(A) Applied is what took effect once, not applied and stale what never did. No conflict."""
    fits = {"applied": {1}, "not_applied": {0}, "stale": {0}, "conflict": set[int]()}
    return s.effects in fits.get(s.outcome, {0, 1})


def stale_sends_nothing(s: State) -> bool:
    """(A) Of a plan that was refused as stale nothing was sent."""
    return s.outcome != "stale" or s.effects == 0


def check(runs: Runs, *claims: Claim) -> None:
    """Each claim is true in every state."""
    for claim in claims:
        wrong = runs.first_without(claim)
        assert wrong is None, f"{claim.__doc__} But:\n{runs.trace(wrong)}"


def check_release(runs: Runs) -> None:
    """(B) From every state any process, all others gone, lets the number go."""
    for me, name in enumerate(WORKERS):
        stuck = runs.stuck(me)
        assert stuck is None, f"{name} does not let go after:\n{runs.trace(stuck)}"


def goes_wrong(d: Design, claim: Claim, text: str) -> None:
    """The claim is broken, and this is the shortest run that breaks it."""
    runs = explore(d, claim)
    wrong = runs.first_without(claim)
    assert wrong is not None, f"{claim.__doc__} True in all {len(runs.states)} states of {d}"
    found = runs.trace(wrong)
    assert found == dedent(text).strip(), f"{claim.__doc__} But, in {d}:\n{found}"


PROTOCOL = (
    Design(),  # 2 ticks of life, as many of quiet, and `send_by` after 1
    Design(life=1, quiet=1, window=0),
    Design(life=1, quiet=2, window=0, late=1, early=False),  # a tick late, quiet a tick longer
)


@pytest.fixture(scope="module", params=PROTOCOL, ids=["protocol", "fastest", "late"])
def protocol(request: pytest.FixtureRequest) -> Runs:
    """Every run of the protocol, with nobody else changing the number."""
    return explore(request.param)


def test_what_was_told_of_a_number_stays_true_until_somebody_changes_it(protocol: Runs) -> None:
    check(protocol, nothing_is_left, told_is_true, words_fit)


def test_a_call_takes_effect_at_most_once(protocol: Runs) -> None:
    check(protocol, one_effect)


def test_no_two_requests_for_a_number_are_ever_under_way(protocol: Runs) -> None:
    check(protocol, one_request, plans_in_order)


def test_whichever_process_is_left_lets_every_number_go(protocol: Runs) -> None:
    check_release(protocol)


def test_the_model_goes_everywhere_it_can(protocol: Runs) -> None:
    """The tests above are about something: each place, outcome and twist does occur."""
    seen = {w.at for s in protocol.states for w in s.workers}
    assert seen == set(AT) - {"recovering", "recovered"}
    outcomes = {s.outcome for s in protocol.states}
    assert outcomes == {"", "applied", "not_applied", "stale", "unknown"}
    taken_over = [s for s in protocol.states if s.requests and s.fence != s.requests[0].sender]
    assert taken_over
    woken = [s for s in protocol.states if any(w.old and w.at == "cleared" for w in s.workers)]
    assert woken, "a process that slept through its plan's settlement"


def test_a_third_party_makes_conflicts_and_stale_plans_but_nothing_late_or_twice() -> None:
    """Whatever others set and whenever. What was told may be changed by them, so is not checked."""
    runs = explore(Design(life=1, quiet=1, window=0, third_party=True, early=False))
    check(runs, nothing_is_left, one_effect, one_request, stale_sends_nothing)
    check_release(runs)
    assert "conflict" in {s.outcome for s in runs.states}


# Each part is needed: without it the model finds a run that goes wrong.


def test_sending_again_blindly_does_it_twice() -> None:
    goes_wrong(
        Design(recovery="send again"),
        one_effect,
        """
        P takes the number for a plan, 0 -> 1
        P reads 0
        P commits `sending`
        P sends the request to set 1
        Q takes over, finds `sending`
        Q sends the request to set 1
        the request to set 1 takes effect
        the request to set 1 takes effect
        """,
    )


def test_reading_before_sending_again_does_it_twice_all_the_same() -> None:
    """The first request lands after the reading."""
    goes_wrong(
        Design(recovery="read, send again"),
        one_effect,
        """
        P takes the number for a plan, 0 -> 1
        P reads 0
        P commits `sending`
        P sends the request to set 1
        Q takes over, finds `sending`
        Q reads 0
        Q commits `sending`
        Q sends the request to set 1
        the request to set 1 takes effect
        the request to set 1 takes effect
        """,
    )


def test_reading_and_holding_without_a_quiet_period_tells_what_is_not_so() -> None:
    goes_wrong(
        Design(quiet=0),
        told_is_true,
        """
        P takes the number for a plan, 0 -> 1
        P reads 0
        P commits `sending`
        P sends the request to set 1
        P has no answer: gives up
        P commits `unknown`
        P reads 0 to settle it
        P records `not_applied`, lets go
        the request to set 1 takes effect
        """,
    )


def test_a_quiet_period_shorter_than_a_requests_life_is_none() -> None:
    goes_wrong(
        Design(quiet=1, life=2),
        told_is_true,
        """
        P takes the number for a plan, 0 -> 1
        P reads 0
        P commits `sending`
        P sends the request to set 1
        P has no answer: gives up
        P commits `unknown`
        time passes
        P reads 0 to settle it
        P records `not_applied`, lets go
        the request to set 1 takes effect
        """,
    )


def test_without_send_by_a_process_that_was_paused_undoes_what_was_told() -> None:
    goes_wrong(
        Design(send_by=False),
        told_is_true,
        """
        P takes the number for a plan, 0 -> 1
        P reads 0
        P commits `sending`
        Q takes over, finds `sending`
        time passes
        time passes
        P sends the request to set 1
        time passes
        Q reads 0 to settle it
        Q records `not_applied`, lets go
        the request to set 1 takes effect
        """,
    )


def test_without_send_by_a_process_that_wakes_after_the_settlement_crosses_the_next_plan() -> None:
    goes_wrong(
        Design(send_by=False),
        plans_in_order,
        """
        P takes the number for a plan, 0 -> 1
        P reads 0
        P commits `sending`
        Q takes over, finds `sending`
        time passes
        time passes
        time passes
        Q records `unknown`, lets go
        Q takes the number for a plan, 0 -> 1
        Q reads 0
        Q commits `sending`
        Q sends the request to set 1
        time passes
        P sends the request to set 1
        """,
    )


def test_sending_later_than_the_look_at_the_clock_needs_a_longer_quiet_period() -> None:
    """As in the third of `PROTOCOL`, which is safe."""
    goes_wrong(
        Design(late=1),
        told_is_true,
        """
        P takes the number for a plan, 0 -> 1
        P reads 0
        P commits `sending`
        Q takes over, finds `sending`
        time passes
        time passes
        P sends the request to set 1
        time passes
        Q reads 0 to settle it
        Q records `not_applied`, lets go
        the request to set 1 takes effect
        """,
    )


def test_without_fences_two_processes_send_for_one_plan() -> None:
    goes_wrong(
        Design(fence=False),
        one_effect,
        """
        P takes the number for a plan, 0 -> 1
        P reads 0
        Q takes over, finds `ready`
        P commits `sending`
        P sends the request to set 1
        Q reads 0
        Q commits `sending`
        Q sends the request to set 1
        the request to set 1 takes effect
        the request to set 1 takes effect
        """,
    )


def test_without_taking_over_the_dead_hold_a_number_for_ever() -> None:
    runs = explore(Design(take_over=False))
    stuck = runs.stuck(0)
    assert stuck is not None
    assert runs.trace(stuck) == "Q takes the number for a plan, 0 -> 1"


def test_yes_before_it_is_done_and_a_third_party_at_once_are_beyond_this_protocol() -> None:
    """The limit that is told: the hold is let go while the request can still land."""
    goes_wrong(
        Design(third_party=True),
        nothing_is_left,
        """
        P takes the number for a plan, 0 -> 1
        P reads 0
        P commits `sending`
        P sends the request to set 1
        the request to set 1 is accepted
        a third party sets 1
        P was told yes, reads 1
        P records `applied`, lets go
        """,
    )
