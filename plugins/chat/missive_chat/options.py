"""The options that every chat adapter has. This module is a part of the declaration: it imports nothing heavy."""

from __future__ import annotations

from missive_host.specs import Option

MIB = 1024 * 1024

SHARED: tuple[Option, ...] = (
    # --- who answers
    Option("agent", completes="agent", help="The agent that the channel talks to."),
    Option(
        "agents",
        repeated=True,
        completes="agent",
        help="Further agents that people may choose with the command `agent`.",
    ),
    Option(
        "group", completes="group", help="The group that the channel talks to, instead of one agent: all of it at once."
    ),
    Option(
        "policy",
        completes="policy",
        help="With `group`: send to the member that this routing policy chooses, not to all.",
    ),
    Option(
        "reducer",
        default="summarise",
        completes="reducer",
        help="With `group`: how the answers become one; or `none`.",
    ),
    # --- who may speak
    Option(
        "dm_policy",
        "choice",
        default="allowlist",
        choices=("allowlist", "pairing", "open", "disabled"),
        help="Who may write directly: those of `users`; whoever an operator has approved; everybody; nobody.",
    ),
    Option(
        "group_policy",
        "choice",
        default="allowlist",
        choices=("allowlist", "open", "disabled"),
        help="Which channels are answered in: those of `channels`; all; none.",
    ),
    Option("users", repeated=True, help="Ids of people who may write directly; in channels, too, if there are any."),
    Option("channels", repeated=True, help="Ids of channels."),
    Option("admins", repeated=True, help="Ids of people who may use `agent`, `new` and `stop`; without any, all may."),
    Option("approvers", repeated=True, help="Ids of people who may approve what an agent asks leave for."),
    Option("mention", "boolean", default=True, help="In channels, answer only when mentioned or replied to."),
    Option(
        "mention_in_threads",
        "boolean",
        default=False,
        help="Ask for a mention in threads, too, in which the bridge has answered already.",
    ),
    Option("bots", "boolean", default=False, help="Listen to other bots, too, up to 20 messages a minute of each."),
    Option("rate", "integer", default=20, minimum=1, help="Messages a minute of one person that are answered."),
    # --- how it is answered
    Option("stream", "boolean", default=True, help="Show an answer while it grows, where messages can be edited."),
    Option("max_messages", "integer", default=8, minimum=1, maximum=100, help="A longer answer is sent as a file."),
    Option("reactions", "boolean", default=True, help="Show by a reaction that a message was seen, and how it ended."),
    Option(
        "edited",
        "choice",
        default="ignore",
        choices=("ignore", "resend"),
        help="An edited message that was answered already: nothing, or it is asked again in the same conversation.",
    ),
    Option("max_age", "duration", default=86400.0, help="Older messages (found after a pause) are not answered."),
    Option("max_attachment", "size", default=20 * MIB, minimum=1, help="The largest file that is taken in."),
    Option("approval_expiry", "duration", default=1800.0, help="How long a question for leave is open."),
)
"""Ids are texts: those of the platform, never names."""
