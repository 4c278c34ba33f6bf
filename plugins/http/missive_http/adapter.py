"""The adapter: its paths on the gateway's listener, for as long as it runs.

::

    POST /adapter/http/v1/messages ─► Guard ─► parse_envelope ─► HttpDelivery ─► intake.submit   (on the disk)
        200 ◄─ the answer, if it comes within `wait`                       └─► settle
        202 ◄─ else a receipt: GET /adapter/http/v1/receipts/{id} has the answer, live or later
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import anyio.to_thread

from missive_host.errors import ConfigError
from missive_http.app import make_app
from missive_http.delivery import HttpDelivery, Waiting
from missive_http.documents import ROOT
from missive_http.guard import Guard
from missive_http.uploads import Uploads
from missive_http.webhooks import routes_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from missive_host.envelopes import Envelope
    from missive_host.protocols import AdapterContext, Intake


class HttpAdapter:
    """A `missive_host.protocols.Restoring` adapter. Raises `ConfigError` if it would let in who should not be."""

    def __init__(self, context: AdapterContext) -> None:
        if context.listener is None:
            raise ConfigError("the adapter `http` runs in the gateway only", help="start it with `missive gateway run`")
        self._context = context
        self._listener = context.listener
        auth = context.options["auth"] or ("none" if self._listener.is_loopback else "token")
        if auth == "none" and not self._listener.is_loopback:
            raise ConfigError(
                'auth = "none" is for the loopback interface only, and the gateway listens on others, too',
                help='set auth = "token" in the settings of the adapter, or gateway.bind_address to 127.0.0.1',
            )
        if auth == "token" and context.authenticate is None:
            raise ConfigError('auth = "token" needs a host that knows tokens', help="start it with the gateway")
        self._guard = Guard(context.authenticate if auth == "token" else None)
        self._routes = routes_of(context.options["routes"], context.name)
        self._uploads = Uploads(context.data_dir)

    async def run(self, intake: Intake) -> None:
        """Answer requests until it is cancelled."""
        waiting = Waiting()
        app = make_app(self._context, self._guard, self._routes, self._uploads, waiting, intake)
        with self._listener.mount(ROOT, app, on_stop=waiting.end):  # at once: what is not there is a 404
            await anyio.to_thread.run_sync(self._uploads.sweep)
            await anyio.sleep_forever()

    def restore(self, envelope: Envelope, reply_to: Mapping[str, Any]) -> HttpDelivery:
        """Return a delivery for a request whose connection has gone: its answer is asked for by receipt."""
        folder = reply_to.get("uploads")
        if folder is not None:
            self._uploads.hold(folder)
        delivery = HttpDelivery(envelope, self._uploads, folder)
        delivery.leave()
        return delivery
