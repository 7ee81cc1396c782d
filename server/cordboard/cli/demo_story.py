"""The demo's story, step by step. Every claim it prints is checked on the server's own answers."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mcp import Client
from mcp.client.stdio import StdioServerParameters, get_default_environment, stdio_client
from mcp_types import CallToolResult, InputRequiredResult

from cordboard.cli.demo import Stage
from cordboard.cli.demo_actors import (
    SECONDS,
    Person,
    Reply,
    StoryBroken,
    check,
    cordboard,
    reply_of,
)
from cordboard.cli.demo_data import POOL_ONE, POOL_TWO, SECOND_LINE, SEEDS, SUPPORT_LINE


async def tell(stage: Stage, folder: Path) -> None:
    """Tell the whole story, with the real program and a real store in `folder`."""
    environ = get_default_environment() | {
        "CORDBOARD_DATABASE": str(folder / "cordboard.db"),
        "PYTHONUTF8": "1",
    }
    await _import(stage, folder, environ)
    person = Person()
    server = StdioServerParameters(
        command=sys.executable, args=["-m", "cordboard"], env=environ, cwd=folder
    )
    with (folder / "server.log").open("w", encoding="utf-8") as log:
        transport = stdio_client(server, errlog=log)
        async with Client(
            transport, elicitation_callback=person, read_timeout_seconds=SECONDS
        ) as client:
            await Story(stage, client, person).tell()
    await _verify_journal(stage, environ)


async def _import(stage: Stage, folder: Path, environ: dict[str, str]) -> None:
    stage.step("Import the numbers and agents of the vendors' own examples")
    file = folder / "seeds.json"
    file.write_text(json.dumps(SEEDS), "utf-8")
    said = await cordboard(environ, "import", str(file))
    stage.says("Person", "cordboard import seeds.json")
    stage.says("Cordboard", said)
    stage.says("Why", "An assistant can only use numbers that are yours: typos end here.")


async def _verify_journal(stage: Stage, environ: dict[str, str]) -> None:
    stage.step("Verify the journal")
    stage.says("Person", "cordboard journal verify")
    stage.says("Cordboard", await cordboard(environ, "journal", "verify"))
    stage.says("Why", "Every step above is in a hash chain: an edit, a gap or a swap would show.")


def _changes_in(question: str) -> str:
    """The lines of a question that say what would change."""
    return "\n".join(line for line in question.splitlines() if " -> " in line)


@dataclass
class Story:
    """What is told while the server runs. `moved`: the yes to the move, kept to be sent again."""

    stage: Stage
    client: Client
    person: Person
    moved: dict[str, Any] = field(default_factory=dict[str, Any])
    move: str = ""

    async def tell(self) -> None:
        await self.connect()
        await self.attach()
        await self.pin()
        await self.look()
        await self.refused()
        await self.take_over()
        await self.pool()
        await self.undo()
        await self.replay()

    async def _call(self, tool: str, **arguments: Any) -> Reply:
        """One call of the assistant, told; questions go to the person."""
        said = ", ".join(f"{name} {_plain(value)}" for name, value in arguments.items())
        self.stage.says("Assistant", f"{tool}: {said}")
        return await self._quietly(tool, **arguments)

    async def _quietly(self, tool: str, **arguments: Any) -> Reply:
        return reply_of(await self.client.call_tool(tool, arguments))

    async def _asked(self, tool: str, **arguments: Any) -> Reply:
        """A change that a person is asked about: the gist of the question, the yes, the outcome."""
        before = len(self.person.read)
        reply = await self._call(tool, **arguments)
        check(len(self.person.read) == before + 1, "the person was asked once")
        self.stage.says("Cordboard", f"asks: {_changes_in(self.person.read[-1])}")
        self.stage.says("Person", "yes")
        check(reply["status"] == "applied", f"it was applied ({reply.text})")
        self.stage.says("Cordboard", reply.extract)
        return reply

    async def _answering(self) -> tuple[str, str, int, str]:
        """Who answers the support line now, and on which pathway."""
        route = await self._quietly("get_number_route", number=SUPPORT_LINE)
        check(len(route["inbound"]) == 1, f"one agent answers {SUPPORT_LINE}")
        [on] = route["inbound"]
        return on["agent"], on["pathway_id"], on["pathway_version"], on["start_node_id"]

    async def connect(self) -> None:
        self.stage.step("An assistant connects")
        tools = {tool.name for tool in (await self.client.list_tools()).tools}
        check({"attach_numbers", "move_numbers", "undo_plan"} <= tools, "the tools are there")
        owned = await self._quietly("list_numbers")
        check(len(owned["numbers"]) == len(SEEDS["numbers"]), "every number was imported")
        said = f"MCP {self.client.protocol_version} on stdio, {len(tools)} tools, "
        self.stage.says("Cordboard", f"{said}{len(owned['numbers'])} numbers of yours.")
        self.stage.says(
            "Why",
            "This is the real server, as your client runs it. The demo answers in your place.",
        )

    async def attach(self) -> None:
        self.stage.step("Attach two numbers: a person is asked")
        numbers = [SUPPORT_LINE, SECOND_LINE]
        reason = "spring opening"
        reply = await self._call(
            "attach_numbers", agent="local:support", numbers=numbers, reason=reason
        )
        check(len(self.person.read) == 1, "the person was asked once")
        question = self.person.read[0]
        check(all(number in question for number in numbers), "the question names both numbers")
        check(reason in question, "the question quotes the reason")
        self.stage.says("Cordboard", "asks you, in a form of your client:")
        self.stage.says("Cordboard", question)
        self.stage.says("Person", "Apply this change: yes")
        check(reply["status"] == "applied" and reply["counts"]["applied"] == 2, "both are attached")
        self.stage.says("Cordboard", reply.extract)
        self.stage.says(
            "Why", "The question is written from facts by the server, not by the model."
        )

    async def pin(self) -> None:
        self.stage.step("Pin a pathway to one number")
        await self._asked(
            "set_number_pathway",
            agent="local:support",
            numbers=[SUPPORT_LINE],
            pathway_id="pathway_abc123",
            pathway_version=2,
            start_node_id="node_xyz",
        )
        self.stage.says(
            "Why", "Pathway, version and node are known to exist before anybody is asked."
        )

    async def look(self) -> None:
        self.stage.step("See the route")
        route = await self._call("get_number_route", number=SUPPORT_LINE)
        pinned = ("local:support", "pathway_abc123", 2, "node_xyz")
        check(await self._answering() == pinned, "the pathway is pinned")
        self.stage.says("Cordboard", route["message"])
        self.stage.says("Cordboard", route["inbound"][0]["why"])
        self.stage.says("Why", "What a caller reaches now, and why: read back, not remembered.")

    async def refused(self) -> None:
        self.stage.step("A takeover is refused, and names the holder")
        asked = len(self.person.read)
        reply = await self._call("attach_numbers", agent="local:sales", numbers=[SUPPORT_LINE])
        check(reply.is_error, "the takeover is refused")
        code = reply.text.partition(":")[0]
        check(code == "NUMBER_ATTACHED_ELSEWHERE", f"the number is held ({reply.text})")
        check("local:support" in reply.text, "the refusal names the holder")
        check(len(self.person.read) == asked, "nobody was asked")
        self.stage.says("Cordboard", reply.text)
        self.stage.says("Why", "Attaching never takes a number away from another agent.")

    async def take_over(self) -> None:
        self.stage.step("Move it, on purpose")
        arguments = {
            "from_agent": "local:support",
            "to_agent": "local:sales",
            "numbers": [SUPPORT_LINE],
        }
        self.stage.says("Assistant", f"move_numbers: local:support to local:sales, {SUPPORT_LINE}")
        session = self.client.session
        first = await session.call_tool("move_numbers", arguments, allow_input_required=True)
        if not isinstance(first, InputRequiredResult) or not first.input_requests:
            raise StoryBroken(f"the move did not wait for the person: {first}")
        [(name, request)] = first.input_requests.items()
        answer = await self.person(None, request.params)
        self.stage.says("Cordboard", f"asks: {_changes_in(self.person.read[-1])}")
        self.moved = {
            "arguments": arguments,
            "input_responses": {name: answer},
            "request_state": first.request_state,
        }
        reply = await self._send_yes()
        check(reply["status"] == "applied", f"the move was applied ({reply.text})")
        check(
            (await self._answering())[:2] == ("local:sales", ""), "sales answers, without pathway"
        )
        self.move = reply["plan_id"]
        self.stage.says("Person", "yes")
        self.stage.says("Cordboard", reply.extract)
        self.stage.says(
            "Why", "A takeover says whom it takes from. The old pathway does not follow."
        )

    async def _send_yes(self) -> Reply:
        """The second half of the move: the same call again, with the person's answer."""
        result = await self.client.session.call_tool(
            "move_numbers", **self.moved, allow_input_required=True
        )
        if not isinstance(result, CallToolResult):
            raise StoryBroken("the yes was answered by a question")
        return reply_of(result)

    async def pool(self) -> None:
        self.stage.step("An outbound pool, by slug: TEST numbers take two calls and no person")
        asked = len(self.person.read)
        slugs = {"local:campaign": [POOL_ONE, POOL_TWO], "local:follow-up": [POOL_ONE]}
        for agent, pool in slugs.items():
            plan = await self._call("attach_numbers", agent=agent, number_slugs=pool)
            check(plan["status"] == "confirmation_required", "the plan stands, nothing is done yet")
            self.stage.says("Cordboard", plan.extract)
            reply = await self._call("apply_plan", plan_id=plan["plan_id"])
            check(reply["status"] == "applied", f"the pool was attached ({reply.text})")
            self.stage.says("Cordboard", reply.extract)
        check(len(self.person.read) == asked, "nobody was asked")
        route = await self._quietly("get_number_route", number=f"+{POOL_ONE}")
        serves = {binding["agent"] for binding in route["outbound"]}
        check(serves == set(slugs), "one number serves both outbound agents")
        self.stage.says("Cordboard", route["message"])
        self.stage.says("Why", "Calls go out from a pool; a number may serve several agents there.")

    async def undo(self) -> None:
        self.stage.step("Undo the move")
        await self._asked("undo_plan", plan_id=self.move)
        back = ("local:support", "pathway_abc123", 2, "node_xyz")
        check(await self._answering() == back, "support answers again, on its pinned pathway")
        self.stage.says("Cordboard", "now: " + " · ".join(str(part) for part in back))
        self.stage.says("Why", "Undo brings back everything, the pathway too, or refuses whole.")

    async def replay(self) -> None:
        self.stage.step("An approval is sent again: nothing happens")
        before = await self._quietly("list_changes"), await self._answering()
        self.stage.says("Assistant", "sends the person's old yes to the move once more")
        reply = await self._send_yes()
        check(reply["plan_id"] == self.move, "the answer is the record of that very plan")
        after = await self._quietly("list_changes"), await self._answering()
        check(before == after, "nothing was changed by the old yes")
        self.stage.says("Cordboard", f"the recorded answer of {self.move}, and no change:")
        self.stage.says("Cordboard", f"{SUPPORT_LINE} is still answered by {after[1][0]}.")
        self.stage.says(
            "Why", "An approval is for one plan and used once; a kept yes opens nothing."
        )


def _plain(value: object) -> str:
    """An argument as it reads: a list without its brackets."""
    return ", ".join(value) if isinstance(value, list) else str(value)
