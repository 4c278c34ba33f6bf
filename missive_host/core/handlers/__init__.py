"""The handlers: the command ``task_get`` is run by ``task_get`` in ``task.py``.

The handler of a command that needs the store alone is a plain function ``(core, command) -> Output``; any other
is a coroutine ``(core, command, emit)`` that emits its outputs as they happen.
"""
