"""``missive chat``, declared. This module is a part of the declaration: it imports nothing heavy."""

from __future__ import annotations

from missive_host.specs import CommandSpec, Option, VerbSpec

_NAME = Option("name", required=True, completes="adapter", help="The adapter: NAME of its table [adapters.NAME].")
_CODE = Option("code", required=True, help="The code that they were given, or the id of who was let in or refused.")

CHAT = CommandSpec(
    "chat",
    "Look after chat adapters: are they alive, what is wrong, who may write, what waits for leave.",
    verbs=(
        VerbSpec(
            ("list",),
            "missive_chat.cli:list_adapters",
            "List the chat adapters of the configuration, and how they fare.",
            "An adapter is `live` while its platform gives signs of life: a pong, an event, an answered poll. "
            "Nothing is connected to, and no secret is needed.",
            examples=("missive chat list", "missive chat list --json"),
        ),
        VerbSpec(
            ("doctor",),
            "missive_chat.cli:doctor",
            "Check one adapter from end to end, and say what mends it.",
            "It logs in, and has the platform look at tokens, scopes, sockets and clock; and it looks at the gateway, "
            "the state on the disk and the queues. A gateway may run meanwhile. Leaves with 1 if a check fails.",
            arguments=(_NAME,),
            examples=("missive chat doctor team", "missive chat doctor team --json"),
        ),
        VerbSpec(
            ("test",),
            "missive_chat.cli:test",
            "Send one message, to see that it arrives.",
            "It prints the platform's id of the message. A gateway may run meanwhile.",
            arguments=(_NAME, Option("text", default="A test message of missive.", help="What to say, as Markdown.")),
            options=(
                Option("to", required=True, help="Where: the platform's id of the channel, room, person or address."),
                Option("thread", help="The platform's id of the thread."),
            ),
            examples=(
                "missive chat test team --to C0123456789",
                'missive chat test team --to C0123456789 --thread 1700000000.000100 "Hello, thread"',
            ),
        ),
        VerbSpec(
            ("pairing", "list"),
            "missive_chat.cli:list_pairings",
            "List who asked to be let in, and who was.",
            arguments=(_NAME,),
            examples=("missive chat pairing list team",),
        ),
        VerbSpec(
            ("pairing", "approve"),
            "missive_chat.cli:approve_pairing",
            "Let somebody in who has a code.",
            "Take the code only by a way on which you know who gives it: the name in the list is their own word.",
            arguments=(_NAME, _CODE),
            examples=("missive chat pairing approve team K7QD3MXA",),
        ),
        VerbSpec(
            ("pairing", "refuse"),
            "missive_chat.cli:refuse_pairing",
            "Refuse somebody, also who was let in before.",
            arguments=(_NAME, _CODE),
            examples=("missive chat pairing refuse team K7QD3MXA", "missive chat pairing refuse team U0123456789"),
        ),
        VerbSpec(
            ("approvals", "list"),
            "missive_chat.cli:list_approvals",
            "List the questions for leave that wait for an answer.",
            "They are answered in the chat, by the people in `approvers`.",
            arguments=(_NAME,),
            options=(Option("all", "boolean", default=False, help="Also those that were answered, or expired."),),
            examples=("missive chat approvals list team", "missive chat approvals list team --all --json"),
        ),
    ),
    groups=(("pairing", "Let people in who asked for it."), ("approvals", "What agents ask leave for.")),
)
