"""The core: one object that runs commands. Doors and the command line hand it commands; it knows neither.

``core``      `Core`: opens the store, the connections and the registry once, and runs commands
``agents``    registered agents: cards, freshness, credentials, clients
``recorder``  what is written down of every exchange, and when
``views``     rows of the store as result documents
``handlers``  one module a noun, one function a command, named like the command
``intake``    the host's side of the doors: order, bounds, settling
"""

from missive_host.a2a.parts import FileAccess
from missive_host.core.core import Core

__all__ = ["Core", "FileAccess"]
