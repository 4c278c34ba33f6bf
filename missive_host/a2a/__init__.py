"""Talking to A2A agents. The only room that knows the ``a2a`` package.

Outside of it, A2A's objects are plain dicts in canonical ProtoJSON (A2A spec 5.5: camelCase names, enums by name).

======================  =============================================================================
``shapes``              reading such dicts: states, texts, kinds (no import of ``a2a``)
``parts``               from a command's inputs to the parts of a message
``cards``               discovery and freshness of Agent Cards
``negotiate``           which interface of a card is used
``faults``              every way an agent can go wrong, mapped once to our errors
``codec``               ProtoJSON of protocol 1.0, and 0.3 to and from it
``jsonrpc, rest, grpc`` the three bindings
``client``              `AgentClient`: one agent, one interface, retries; `Stream`: a stream that survives
``http``, ``sse``       the wire
======================  =============================================================================
"""
