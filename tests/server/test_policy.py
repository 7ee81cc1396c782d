"""Policy: which level a change needs, by preset, by rule, by size and by hour; and who holds it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.exams import stage
from tests.world import SEEDS, SUPPORT_LINE, TEST_ONE, Person, Worlds, many, names

from cordboard.binding import Side
from cordboard.config import load
from cordboard.errors import ConfigError, NotAllowed
from cordboard.plan import Change, Draft, Image
from cordboard.policy import LEVELS, PRESETS, Policy, at_least, required
from cordboard.request import Action


def change(number: str = "+12025550100", *, purpose: str = "TEST", tags: tuple[str, ...] = (),
           provider: str = "twilio") -> Change:  # fmt: skip
    image = Image(0, (), provider, purpose, tags, "")
    return Change(number, Side("inbound"), Side("inbound", "local:support"), image)


def draft(*changes: Change, mixes: bool = False) -> Draft:
    return Draft(changes or (change(),), (), (), (), mixes)


def level(
    policy: Policy, what: Draft, action: Action = "attach", platform: str = "local", hour: int = 0
) -> str:
    return required(policy, action, platform, what, hour).level


def policy(folder: Path, text: str) -> Policy:
    """An operator's policy, the way a process reads it."""
    file = folder / "policy.toml"
    file.write_text(text, "utf-8")
    return load({"CORDBOARD_POLICY": str(file)}).policy


def test_levels_are_ordered_from_weak_to_strong() -> None:
    assert LEVELS == ("plan", "client", "person", "frozen")
    assert at_least("person", "client")
    assert not at_least("client", "person")


PROTECTED = change(tags=("protected",))
EMERGENCY = change(tags=("vip", "emergency_callback"))


@pytest.mark.parametrize(
    ("preset", "what", "expected"),
    [
        ("relaxed", draft(change(purpose="PRODUCTION")), "plan"),
        ("relaxed", draft(PROTECTED), "plan"),
        ("relaxed", draft(*[change()] * 100), "plan"),
        ("relaxed", draft(mixes=True), "client"),
        ("standard", draft(), "plan"),
        ("standard", draft(change(purpose="PRODUCTION")), "client"),
        ("standard", draft(change(purpose="")), "client"),
        ("standard", draft(change(), change(purpose="PRODUCTION")), "client"),
        ("standard", draft(mixes=True), "client"),
        ("standard", draft(PROTECTED), "person"),
        ("standard", draft(EMERGENCY), "person"),
        ("standard", draft(change(), PROTECTED), "person"),
        ("standard", draft(*[change()] * 25), "plan"),
        ("standard", draft(*[change()] * 26), "person"),
        ("strict", draft(), "person"),
        ("strict", draft(mixes=True), "person"),
    ],
)
def test_a_preset_demands(preset: str, what: Draft, expected: str) -> None:
    assert level(PRESETS[preset], what) == expected


@pytest.mark.parametrize(
    "action", ["attach", "move", "detach", "set_pathway", "clear_pathway", "undo"]
)
def test_presets_treat_every_action_alike(action: Action) -> None:
    assert level(PRESETS["standard"], draft(change(purpose="PRODUCTION")), action) == "client"
    assert level(PRESETS["strict"], draft(), action) == "person"


@pytest.mark.parametrize(("hour", "size", "expected"), [
    (0, 25, "plan"), (24, 1, "plan"), (25, 1, "person"), (13, 12, "plan"), (13, 13, "person"),
])  # fmt: skip
def test_the_hour_s_budget_ends_at_25_numbers(hour: int, size: int, expected: str) -> None:
    assert level(PRESETS["standard"], draft(*[change()] * size), hour=hour) == expected


TWILIO = change("+14155550100", purpose="PRODUCTION", tags=("vip", "sales"), provider="twilio")
MATCHES: dict[str, tuple[str, str]] = {  # a condition that TWILIO's attach meets, one it does not
    "action": ('"attach"', '"detach"'),
    "purpose": ('"PRODUCTION"', '"TEST"'),
    "tag": ('"vip"', '"protected"'),
    "provider": ('"twilio"', '"exotel"'),
    "prefix": ('"+1415"', '"+44"'),
    "platform": ('"local"', '"bland"'),
    "size": ("1", "2"),
}


@pytest.mark.parametrize("key", MATCHES)
def test_every_condition_matches_by_one_word_or_a_list(tmp_path: Path, key: str) -> None:
    yes, no = MATCHES[key]
    rule = 'extends = "relaxed"\n[[rules]]\nlevel = "frozen"\n'
    assert level(policy(tmp_path, f"{rule}{key} = {yes}"), draft(TWILIO)) == "frozen"
    assert level(policy(tmp_path, f"{rule}{key} = {no}"), draft(TWILIO)) == "plan"
    if key != "size":
        assert level(policy(tmp_path, f"{rule}{key} = [{no}, {yes}]"), draft(TWILIO)) == "frozen"
        assert level(policy(tmp_path, f"{rule}{key} = [{no}]"), draft(TWILIO)) == "plan"


def test_all_conditions_of_a_rule_must_meet_in_one_number(tmp_path: Path) -> None:
    rule = 'extends = "relaxed"\n[[rules]]\nlevel = "person"\ntag = "vip"\nprovider = "exotel"\n'
    made = policy(tmp_path, rule)
    assert level(made, draft(TWILIO, change(provider="exotel"))) == "plan"
    assert level(made, draft(change(), change(tags=("vip",), provider="exotel"))) == "person"


def test_of_several_rules_the_highest_wins_in_any_order(tmp_path: Path) -> None:
    rules = [f'[[rules]]\nlevel = "{name}"\n' for name in ("client", "frozen", "plan", "person")]
    for order in (rules, rules[::-1], rules[2:] + rules[:2]):
        assert level(policy(tmp_path, "".join(order)), draft()) == "frozen"


def test_a_rule_can_only_raise_what_the_preset_demands(tmp_path: Path) -> None:
    made = policy(tmp_path, 'extends = "strict"\n[[rules]]\nlevel = "plan"\n')
    assert level(made, draft()) == "person"
    assert level(policy(tmp_path, ""), draft(change(purpose="PRODUCTION"))) == "client"


def test_an_unknown_purpose_counts_as_production_in_rules_too(tmp_path: Path) -> None:
    rule = 'extends = "relaxed"\n[[rules]]\nlevel = "person"\npurpose = '
    assert level(policy(tmp_path, f'{rule}"PRODUCTION"'), draft(change(purpose=""))) == "person"
    assert level(policy(tmp_path, f'{rule}"TEST"'), draft(change(purpose=""))) == "plan"


def test_budgets_can_be_set_and_switched_off(tmp_path: Path) -> None:
    small = policy(tmp_path, "[budgets]\nnumbers_per_plan = 2\nnumbers_per_hour = 3\n")
    assert level(small, draft(*[change()] * 2)) == "plan"
    assert level(small, draft(*[change()] * 3)) == "person"
    assert level(small, draft(*[change()] * 2), hour=2) == "person"
    off = policy(tmp_path, "[budgets]\nnumbers_per_plan = 0\nnumbers_per_hour = 0\n")
    assert level(off, draft(*[change()] * 100), hour=1000) == "plan"


@given(
    st.integers(0, 60),
    st.integers(1, 60),
    st.booleans(),
    st.sampled_from(["", "TEST", "PRODUCTION"]),
)
def test_more_numbers_or_a_fuller_hour_never_lower_the_level(
    hour: int, size: int, mixes: bool, purpose: str
) -> None:
    for made in PRESETS.values():
        here = level(made, draft(*[change(purpose=purpose)] * size, mixes=mixes), hour=hour)
        there = level(made, draft(*[change(purpose=purpose)] * (size + 1), mixes=mixes), hour=hour)
        later = level(made, draft(*[change(purpose=purpose)] * size, mixes=mixes), hour=hour + 1)
        assert at_least(there, here) and at_least(later, here)  # type: ignore[arg-type]


def test_the_hash_is_of_what_a_policy_says_not_of_its_name(tmp_path: Path) -> None:
    text = 'extends = "relaxed"\n[[rules]]\nlevel = "person"\ntag = "vip"\n'
    one = policy(tmp_path, text)
    (tmp_path / "other").mkdir()
    assert policy(tmp_path / "other", text).digest == one.digest
    for more in ('purpose = "TEST"\n', "size = 2\n", "[budgets]\nnumbers_per_plan = 9\n"):
        assert policy(tmp_path, text + more).digest != one.digest
    assert policy(tmp_path, "four_eyes = true\n" + text).digest != one.digest
    assert len({p.digest for p in PRESETS.values()}) == 3


MALFORMED: dict[str, tuple[str, str]] = {  # the text, and a word of what is wrong with it
    "no TOML": ("[[rules\n", "TOML"),
    "unknown key": ('colour = "red"\n', "colour"),
    "unknown preset": ('extends = "lenient"\n', "extends"),
    "unknown level": ('[[rules]]\nlevel = "maybe"\n', "rules.0.level"),
    "level missing": ('[[rules]]\ntag = "vip"\n', "rules.0.level"),
    "unknown condition": ('[[rules]]\nlevel = "person"\nnumber = "+1"\n', "number"),
    "unknown action": ('[[rules]]\nlevel = "person"\naction = "steal"\n', "rules.0.action"),
    "unknown purpose": ('[[rules]]\nlevel = "person"\npurpose = "test"\n', "rules.0.purpose"),
    "a size in words": ('[[rules]]\nlevel = "person"\nsize = "2"\n', "rules.0.size"),
    "a size below zero": ('[[rules]]\nlevel = "person"\nsize = -1\n', "rules.0.size"),
    "a tag that is a number": ('[[rules]]\nlevel = "person"\ntag = 5\n', "rules.0.tag"),
    "the second rule": ('[[rules]]\nlevel = "person"\n[[rules]]\nlevel = 1\n', "rules.1.level"),
    "rules that are none": ('rules = "all"\n', "rules"),
    "a budget below zero": ("[budgets]\nnumbers_per_hour = -1\n", "budgets.numbers_per_hour"),
    "an unknown budget": ("[budgets]\nnumbers_per_day = 1\n", "numbers_per_day"),
    "four eyes in words": ('four_eyes = "yes"\n', "four_eyes"),
    "an old encoding": ("# caf\udce9\n", "TOML"),
}


@pytest.mark.parametrize("what", MALFORMED)
def test_a_malformed_policy_file_is_one_clear_error(tmp_path: Path, what: str) -> None:
    text, word = MALFORMED[what]
    file = tmp_path / "policy.toml"
    file.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(ConfigError) as caught:
        load({"CORDBOARD_POLICY": str(file)})
    said = str(caught.value)
    assert said.startswith("INVALID_CONFIGURATION: ") and "\n" not in said
    assert str(file) in said and word in said
    assert caught.value.remedy


@pytest.mark.parametrize("named", ["lenient", "/no/such/policy.toml", "."])
def test_a_policy_that_is_not_there_is_one_clear_error(named: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load({"CORDBOARD_POLICY": named})
    assert named in str(caught.value)


# Held by processes: who may apply what another process planned.


@pytest.mark.anyio
@pytest.mark.parametrize("era", ["auto", "legacy"])
async def test_a_process_with_a_stricter_policy_refuses_to_apply(
    make_world: Worlds, era: str
) -> None:
    world = make_world(policy="relaxed")
    strict, standard = world.another("strict"), world.another("standard")
    easy = await world.call("attach_numbers", agent="local:support", numbers=[SUPPORT_LINE])
    assert easy.status == "confirmation_required"
    for other in (strict, standard):
        reply = await other.call("apply_plan", era=era, person=Person("yes"), plan_id=easy.plan_id)
        assert reply.code == "NOT_ALLOWED"
        assert "policy" in reply.text
    asked = await standard.call(
        "attach_numbers",
        era=era,
        person=Person("cancel"),
        agent="local:night",
        numbers=[SUPPORT_LINE],
    )
    assert (asked.status, asked["guard"]["required"]) == ("not_confirmed", "client")
    reply = await strict.call("apply_plan", era=era, person=Person("yes"), plan_id=asked.plan_id)
    assert reply.code == "NOT_ALLOWED"
    assert await world.holders(SUPPORT_LINE) == []
    done = await standard.call("apply_plan", era=era, person=Person("yes"), plan_id=asked.plan_id)
    assert done.status == "applied"


@pytest.mark.anyio
async def test_a_process_with_a_laxer_policy_does_not_lower_a_plan_s_level(
    make_world: Worlds,
) -> None:
    world = make_world(policy="strict")
    plan = await world.call("attach_numbers", agent="local:support", numbers=[TEST_ONE])
    relaxed = world.another("relaxed")
    for person in (None, Person("yes")):
        reply = await relaxed.call("apply_plan", person=person, plan_id=plan.plan_id)
        assert (reply.status, reply["guard"]["required"]) == ("awaiting_approval", "person")


@pytest.mark.anyio
async def test_what_policy_freezes_is_refused_before_a_plan_is_made() -> None:
    with stage.stage(policy='[[rules]]\nlevel = "frozen"\ntag = "protected"\n') as world:
        reply = await world.call("attach_numbers", agent="local:support", numbers=["+442012345678"])
        assert reply.code == "FROZEN"
        assert stage.query(world.database, "SELECT * FROM plan") == []


@pytest.mark.anyio
async def test_four_eyes_lets_nobody_approve_what_they_asked_for() -> None:
    with stage.stage(policy='extends = "strict"\nfour_eyes = true\n') as world:
        for principal in ("ada", "ADA-the-user", "ada-the-user", "bob"):
            server = stage.as_user(world, principal)
            who = await stage.approver(server)
            async with stage.client(server) as client:
                plan = await client("attach_numbers", agent="local:support", numbers=[TEST_ONE])
            desk = server.app.service.approvals
            record = await desk.find(plan.plan_id)
            if principal == "bob":
                assert (await desk.approve(record, who)).status == "applied"
            else:
                with pytest.raises(NotAllowed, match="second pair of eyes"):
                    await desk.approve(record, who)
        stage.audit(world.database)


@pytest.mark.anyio
async def test_mixing_test_and_production_is_warned_of_and_needs_a_yes(make_world: Worlds) -> None:
    world = make_world(policy="relaxed")
    await world.done("attach_numbers", agent="local:support", numbers=[SUPPORT_LINE])
    reply = await world.call(
        "attach_numbers", person=Person("yes"), agent="local:support", numbers=[TEST_ONE]
    )
    assert (reply.status, reply["guard"]["used"]) == ("applied", "client")
    assert "TEST and PRODUCTION" in reply["warnings"][0]


@pytest.mark.anyio
@pytest.mark.parametrize(("sizes", "applied"), [((12, 13), 2), ((13, 13), 1), ((9, 9, 9), 2)])
async def test_the_hourly_budget_holds_when_processes_apply_at_once(
    make_world: Worlds, sizes: tuple[int, ...], applied: int
) -> None:
    """Every plan was within the budget when it was made; applied together they are not."""
    seed = SEEDS.but(numbers=many(30))
    world = make_world(seed)
    told: list[str] = []
    plans: list[tuple[Any, str]] = []
    for at in range(len(sizes)):
        process = world.another()
        agent = ("local:support", "local:sales", "local:night")[at]
        numbers = names(many(30))[sum(sizes[:at]) : sum(sizes[: at + 1])]
        made = await process.call("attach_numbers", agent=agent, numbers=numbers)
        assert made.status == "confirmation_required"
        plans.append((process, made.plan_id))

    async def apply(process: Any, plan_id: str) -> None:
        reply = await process.call("apply_plan", plan_id=plan_id)
        told.append(reply.code or reply.status)

    with anyio.fail_after(30):
        async with anyio.create_task_group() as group:
            for process, plan_id in plans:
                group.start_soon(apply, process, plan_id)
    assert sorted(told) == sorted(["applied"] * applied + ["NOT_ALLOWED"] * (len(sizes) - applied))
    assert len(stage.bindings(world.database)) <= 25


@pytest.mark.anyio
async def test_the_hourly_budget_is_each_principal_s_own_and_comes_back_after_an_hour() -> None:
    with stage.stage(SEEDS.but(numbers=many(60))) as world:
        one, two = stage.as_user(world, "alice"), stage.as_user(world, "bob")
        lines = names(many(60))

        async def attach(server: Any, numbers: list[str]) -> str:
            async with stage.client(server) as client:
                made = await client("attach_numbers", agent="local:campaign", numbers=numbers)
                if made.status != "confirmation_required":
                    return str(made["guard"]["required"])
                return str((await client("apply_plan", plan_id=made.plan_id)).status)

        assert await attach(one, lines[:25]) == "applied"
        assert await attach(one, lines[25:26]) == "person"
        assert await attach(two, lines[26:28]) == "applied"
        world.clock.advance(3599)
        assert await attach(one, lines[28:29]) == "person"
        world.clock.advance(1)
        assert await attach(one, lines[29:30]) == "applied"


def test_a_tag_protects_however_it_is_capitalised(tmp_path: Path) -> None:
    assert level(policy(tmp_path, ""), draft(change(tags=("Protected",)))) == "person"
    made = policy(tmp_path, '[[rules]]\nlevel = "frozen"\ntag = "VIP"\n')
    assert level(made, draft(change(tags=("vip",)))) == "frozen"


def test_a_budget_that_a_file_leaves_out_stays_as_the_preset_has_it(tmp_path: Path) -> None:
    loose = policy(tmp_path, 'extends = "relaxed"\n[budgets]\nnumbers_per_plan = 50\n').budgets
    assert (loose.numbers_per_plan, loose.numbers_per_hour) == (50, 0)
    usual = policy(tmp_path, "[budgets]\nnumbers_per_plan = 50\n").budgets
    assert (usual.numbers_per_plan, usual.numbers_per_hour) == (50, 25)
