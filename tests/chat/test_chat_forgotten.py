"""An agent that forgets a conversation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from support.chat.bridges import bridge_of

if TYPE_CHECKING:
    from support.cores import Home
    from support.misbehaving import Exchange, Start


async def test_a_context_that_is_refused_is_begun_anew_once(home: Home, misbehaving: Start) -> None:
    known: set[str] = set()
    asked: list[str | None] = []

    def agent(exchange: Exchange) -> None:
        request = exchange.request.json()
        message = request["params"]["message"]
        context = message.get("contextId")
        asked.append(context)
        if context is not None and context not in known:
            error = {"code": -32602, "message": "there is no context of this contextId"}
            exchange.reply(200, {"jsonrpc": "2.0", "id": request["id"], "error": error})
            return
        context = context or f"c{len(asked)}"
        known.add(context)
        text = f"{message['parts'][0]['text']} in {context}"
        answer = {"messageId": f"m{len(asked)}", "contextId": context, "role": "ROLE_AGENT", "parts": [{"text": text}]}
        exchange.result({"message": answer})

    server = misbehaving(agent, streaming=False)
    async with bridge_of(home, server.url, settings='agent = "echo"\nusers = ["ann"]\n') as town:
        town.say("one", room="@ann")
        await town.until(lambda: town.texts() == ["one in c1"])
        town.say("two", room="@ann")
        await town.until(lambda: town.texts()[1:] == ["two in c1"])
        known.clear()
        town.say("three", room="@ann")
        forgot = "(The agent has forgotten this conversation; a new one begins.)\n\n"
        await town.until(lambda: town.texts()[2:] == [f"{forgot}three in c4"])
        town.say("four", room="@ann")
        await town.until(lambda: town.texts()[3:] == ["four in c4"])
        assert asked == [None, "c1", "c1", None, "c4"]
