"""Which agent of a group gets a message, and what is done when it cannot take it.

``candidates``  what a policy may know of the agents
``planner``     asks a policy, keeps its state, writes the plan down
``attempts``    one message to one agent, up to its end, in a way that can be given up
``execution``   carries a plan out: one after another, hedged, or to all until enough agree
``breaker``     rests an agent that keeps failing

The room knows no policy by name; policies are plugins.
"""
