"""The platforms that come with missive: their options, beside those of `SHARED`, and the extra that each needs.

A part of the declaration: it imports nothing heavy.
"""

from __future__ import annotations

from missive_chat.options import SHARED
from missive_host.specs import AdapterSpec, Option

CONTRACT = "missive.chat.v1"

_AT_A_TERMINAL = ("agent", "agents", "group", "policy", "reducer", "stream", "approval_expiry")
_SECURITY = ("tls", "starttls", "none")


def _platform(name: str, summary: str, *options: Option, extra: str | None, requires: tuple[str, ...]) -> AdapterSpec:
    return AdapterSpec(
        name=name,
        factory=f"missive_chat.platforms.{name}:adapter",
        summary=summary,
        accepts=(CONTRACT,),
        emits=(CONTRACT,),
        options=(*options, *SHARED),
        foreground=False,
        extra=extra,
        requires=requires,
        carries_files=True,
    )


KINDS: tuple[AdapterSpec, ...] = (
    _platform(
        "discord",
        "A Discord bot: channels, threads and direct messages of servers.",
        Option("token", required=True, secret=True, help="The bot's token."),
        Option("threads", "boolean", default=False, help="Answer a message in a channel in a thread below it."),
        Option(
            "commands",
            "boolean",
            default=True,
            help="Register `/help`, `/new` … as slash commands; `!help`, `!new` … are understood without.",
        ),
        Option("api_url", help="Another address of the REST API, for tests and for compatible servers."),
        Option("gateway_url", help="Another address of the gateway's socket, for tests and for compatible servers."),
        extra="discord",
        requires=("discord",),
    ),
    _platform(
        "email",
        "A mailbox that people write to: IMAP in, SMTP out.",
        Option("address", required=True, help="The address of the account: mail to it is read, answers are from it."),
        Option("name", help="The name beside the address in what is sent."),
        Option("username", help="The login name, if it is not the address."),
        Option("password", secret=True, required=True, help="The password, or the provider's app password."),
        Option("imap_host", required=True, help="The server that mail is read from."),
        Option("imap_port", "integer", minimum=1, maximum=65535, help="Its port; by `imap_security` 993 or 143."),
        Option("imap_security", "choice", default="tls", choices=_SECURITY, help="`none` only on this machine."),
        Option("mailbox", default="INBOX", help="The folder that is read."),
        Option("poll_interval", "duration", default=60.0, help="How often to look, where the server has no IDLE."),
        Option("smtp_host", required=True, help="The server that mail is sent through."),
        Option("smtp_port", "integer", minimum=1, maximum=65535, help="Its port; by `smtp_security` 465, 587 or 25."),
        Option("smtp_security", "choice", default="starttls", choices=_SECURITY, help="`none` only on this machine."),
        Option("smtp_password", secret=True, help="Its password, if that is another one."),
        Option("ca_file", "path", help="Certificates (PEM) to check the servers by, instead of the system's."),
        Option(
            "trusted_authserv",
            repeated=True,
            help="The name that your own mail server gives itself in Authentication-Results; only it is believed.",
        ),
        Option(
            "trust_from",
            "boolean",
            default=False,
            help="Believe every From: for a mailbox that none but internal senders can reach.",
        ),
        Option("html", "boolean", default=True, help="Send answers as HTML, too, beside the plain text."),
        Option("sent_folder", help="The folder of sent mail: after a crash it tells whether a mail had been sent."),
        Option("save_sent", "boolean", default=False, help="Keep a copy there; many servers do so by themselves."),
        Option("max_replies", "integer", default=50, minimum=1, help="Answers in one thread; more is a mail loop."),
        extra="email",
        requires=("aiosmtplib", "imapclient", "markdown_it"),
    ),
    _platform(
        "irc",
        "Channels and private messages of one nick on an IRC network.",
        Option("server", required=True, help="The name of the server."),
        Option("port", "integer", minimum=1, maximum=65535, help="Default: 6697, without TLS 6667."),
        Option("tls", "boolean", default=True, help="Encrypt; without only a server on this machine is spoken to."),
        Option("ca_file", "path", help="Certificates of authorities to trust instead of the system's."),
        Option("nick", required=True, help="Our name; if it is taken, one with `_` until it is free."),
        Option("password", secret=True, help="The password of the server, if it has one for all."),
        Option("sasl_user", help="Our account on the network."),
        Option("sasl_password", secret=True, help="Its password."),
        Option("channel_keys", "table", help="Of channels that ask for a key: channel and key."),
        Option(
            "trust_nicks",
            "boolean",
            default=False,
            help="Take a nick for an id where there is no account: only for closed networks, anybody can take a nick.",
        ),
        Option(
            "line_interval", "duration", default=2.0, help="Between two lines, after a burst: floods are thrown out."
        ),
        Option("line_burst", "integer", default=5, minimum=1, help="Lines that may be sent at once."),
        Option(
            "ping", "duration", default=60.0, help="After that much silence the server is asked, after twice given up."
        ),
        extra="irc",
        requires=("irctokens",),
    ),
    _platform(
        "matrix",
        "Rooms of Matrix, with end-to-end encryption if it is asked for",
        Option("homeserver", required=True, help="Address of the homeserver, or the name of the server."),
        Option("user", help="With `password`: the id of the account, such as `@missive:example.org`."),
        Option("password", secret=True, help="Its password; or give `access_token`."),
        Option("access_token", secret=True, help="A token of a login that nothing else uses."),
        Option("device_id", help="The device to log in as; without it one is made once and kept."),
        Option("encryption", "boolean", default=False, help="Read and write in encrypted rooms (extra matrix-e2ee)."),
        Option("auto_join", "boolean", default=True, help="Follow invitations of those who may write to us."),
        Option("edit_interval", "duration", default=5.0, help="Time between two edits; servers take one in 5 s."),
        extra="matrix",
        requires=("nio",),
    ),
    AdapterSpec(
        name="notify",
        factory="missive_chat.notify:adapter",
        summary="Tells other services how jobs and tasks have come out: chats, mail, phones. Nothing comes in.",
        options=(
            Option("urls", secret=True, repeated=True, required=True, help="Where to tell it: URLs of Apprise."),
            Option(
                "on",
                "choice",
                repeated=True,
                default=("failed", "rejected", "input-required", "auth-required", "dead-letter"),
                choices=(
                    "completed",
                    "failed",
                    "rejected",
                    "cancelled",
                    "input-required",
                    "auth-required",
                    "dead-letter",
                ),
                help="What is told.",
            ),
            Option(
                "about",
                "choice",
                repeated=True,
                default=("jobs", "tasks"),
                choices=("jobs", "tasks"),
                help="Of what: jobs of the gateway, tasks of agents.",
            ),
            Option("agents", repeated=True, completes="agent", help="Only of these agents."),
            Option("title", help="The title, with {outcome}, {what}, {agent} …"),
            Option("template", help="The text, with {text}, {outcome}, {what}, {agent}, {task}, {job}, {time} …"),
        ),
        foreground=False,
        extra="notify",
        requires=("apprise",),
    ),
    _platform(
        "slack",
        "A channel of Slack talks to an agent or a group.",
        Option("bot_token", secret=True, required=True, help="The bot token of the app: `xoxb-…`."),
        Option("app_token", secret=True, help="For `mode = socket`: the app-level token, `xapp-…`."),
        Option("signing_secret", secret=True, help="For `mode = events`: what Slack signs its requests with."),
        Option(
            "mode",
            "choice",
            default="socket",
            choices=("socket", "events"),
            help="Slack is called (Socket Mode, no public address needed), or it calls the gateway's listener.",
        ),
        Option(
            "native_streams", "boolean", default=True, help="In threads, an answer grows in a stream of Slack's own."
        ),
        Option(
            "ping_interval",
            "duration",
            default=10.0,
            help="How often the socket is pinged; without an answer in half that time it is made anew.",
        ),
        Option(
            "api_url", default="https://slack.com/api/", help="Another Web API, for tests and for compatible servers."
        ),
        extra="slack",
        requires=("slack_sdk", "aiohttp"),
    ),
    _platform(
        "telegram",
        "Telegram: a bot, by long polling of the Bot API.",
        Option("token", secret=True, required=True, help="The bot's token, from @BotFather."),
        Option("api_url", default="https://api.telegram.org", help="For tests, and for a Bot API server of your own."),
        Option("commands", "boolean", default=True, help="Put the bridge's commands into the menu of Telegram's apps."),
        extra=None,
        requires=(),
    ),
    AdapterSpec(
        name="terminal",
        factory="missive_chat.platforms.terminal:adapter",
        summary="This terminal as a chat: type to an agent, and read what it answers.",
        accepts=(CONTRACT,),
        emits=(CONTRACT,),
        options=tuple(option for option in SHARED if option.name in _AT_A_TERMINAL),
        owns_stdio=True,
        examples=("missive adapter terminal --agent echo", "missive adapter terminal --group board --no-stream"),
    ),
    _platform(
        "xmpp",
        "Direct messages and rooms of one account on an XMPP server.",
        Option("jid", required=True, help="The address of the account, like bot@example.org."),
        Option("password", required=True, secret=True, help="Its password."),
        Option("host", help="The server, where DNS does not say it (SRV records of the domain)."),
        Option("port", "integer", minimum=1, maximum=65535, help="With `host`. Default: 5222."),
        Option("tls", "boolean", default=True, help="Encrypt; without only a server on this machine is spoken to."),
        Option("ca_file", "path", help="Certificates of authorities to trust instead of the system's."),
        Option("nick", help="Our name in rooms. Default: the account's, before the @."),
        Option("room_passwords", "table", help="Of rooms that ask for one: address and password."),
        Option("file_hosts", repeated=True, help="Hosts that files are fetched from, beside those of our domain."),
        Option("ping", "duration", default=60.0, help="How often it is asked whether the server is still there."),
        extra="xmpp",
        requires=("slixmpp",),
    ),
)
