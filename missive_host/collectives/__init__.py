"""The collectives: one message to all members of a group, and one answer of all of theirs.

``members``     who takes part: the group as it is, or as it was stamped into a broadcast; the shared context
``operations``  the life of one operation: begun, journaled, ended, whatever ended it; its document is never lost
``contact``     one message to one member, up to its answer
``bcast``       the same message to all; ``scatter`` deals different parts out
``answers``     what a member has answered so far, read from the store
``asking``      asking an agent for its task, also for one whose id never reached us
``barrier``     waiting until enough of them have come to an end
``gather``      the answers together
``reduce``      one answer of them; ``reducing`` with an agent or a program
``allreduce``   all of it under one deadline
``templates``   placeholders, replaced in one pass

One local context holds an operation together. Each agent knows it by a contextId of its own, which is learnt from
its answers and never invented. Everything that a later step needs is in the store, so each step may be done by
another process, also after the one before was killed. The room knows no reducer by name; reducers are plugins.
"""
