"""A running gateway, as it tells of itself."""

from __future__ import annotations

from missive_host.outputs_gateway import (
    AdapterQueue,
    AdapterStatus,
    AgentStatus,
    JobsStatus,
    QueueStatus,
    SinkStatus,
    Status,
    StoreStatus,
    SubscriptionsStatus,
)

RUNNING = Status(
    profile="default",
    pid=7,
    version="1.2.3",
    started_at="2026-01-01T00:00:00.000000Z",
    uptime_seconds=12.5,
    state="running",
    ready=True,
    reasons=(),
    bind_address="127.0.0.1:7347",
    adapters=(
        AdapterStatus(
            name="drop",
            kind="filedrop",
            state="running",
            required=True,
            restarts=2,
            since="2026-01-01",
            in_flight=3,
            counters={"late": 4},
        ),
    ),
    queue=QueueStatus(
        queued=1,
        ready=2,
        running=3,
        dead=4,
        by_adapter={"drop": AdapterQueue(queued=1, ready=2, running=3)},
        oldest_waiting_seconds=1.5,
    ),
    store=StoreStatus(writable=True, events=99, bytes=4096),
    agents=(AgentStatus(agent="echo", breaker="open", failures=3, in_flight=1),),
    components=(),
    sinks=(
        SinkStatus(
            name="audit",
            kind="jsonl",
            state="retrying",
            since="2026-01-01",
            written=7,
            behind=8,
            dropped=9,
            failures=1,
            last_error="No space left on device",
        ),
    ),
    sessions=5,
    jobs=JobsStatus(waiting=0, running=0, schedules=0),
    subscriptions=SubscriptionsStatus(followed=0),
)
