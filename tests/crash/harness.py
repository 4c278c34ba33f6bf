"""Kill the gateway again and again while three doors are busy, then prove that nothing was lost and nothing doubled.

::

    python tests/crash/harness.py --deliveries 2000 --kills 50 --seed 7
    python tests/crash/harness.py --agent-kills 10 --disk-full 5 --clock-jumps 20
    python tests/crash/harness.py --deliveries 10000 --kills 0 --doors files --at-once

What is drawn by lot (what each delivery is, when it is given, when is killed) depends on the seed alone; what the
gateway is doing at that instant does not. MISSIVE_CRASH_SEED is the seed if none is given.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import resource
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent.parent))

from crash import checks
from crash.doors import Delivery, Door, Files, Http, Stdio
from support.cores import Home, journal_differences
from support.gateways import GatewayProcess

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).parent
CONFIG = """
[qos]
retry_backoff = "10ms"

[gateway]
drain = "5s"
keep_answers = "48000h"  # longer than the clock jumps

[agents.worker]
base_url = "http://127.0.0.1:{port}"

[adapters.pipe]
kind = "stdio"
settings = {{ mode = "long-running", concurrency = 64 }}

[adapters.files]
kind = "file-drop"
settings = {{ inbox = "{folder}/in", outbox = "{folder}/out", any_order = true, poll_interval = "100ms" }}

[adapters.web]
kind = "http"
"""
DOORS = ("files", "stdio", "http")
SESSIONS = 4
BESIDE = "JUMPING_CLOCK"


@dataclass(frozen=True)
class Plan:
    """How much of what."""

    deliveries: int = 2000
    kills: int = 50
    seed: int = 0
    agent_kills: int = 0
    disk_full: int = 0
    clock_jumps: int = 0
    doors: tuple[str, ...] = DOORS
    at_once: bool = False
    seconds: float = 300.0
    """How long what is left over may take at the end."""

    def with_seed(self, seed: int) -> Plan:
        return replace(self, seed=seed)

    @property
    def errors(self) -> bool:
        """Whether an agent may have failed to answer: it loses its tasks when it is killed."""
        return bool(self.agent_kills)


@dataclass
class Report:
    seed: int
    deliveries: int
    kills: int = 0
    kills_at_start: int = 0
    agent_kills: int = 0
    disk_full: int = 0
    clock_jumps: int = 0
    answers_ok: int = 0
    answers_error: int = 0
    errors: dict[str, int] = field(default_factory=dict)
    printed_twice: int = 0
    posts: int = 0
    frames_refused: int = 0
    sent_again: int = 0
    attempts: dict[int, int] = field(default_factory=dict)
    dead: int = 0
    seconds: float = 0.0


def seed_from_environment() -> int:
    return int(os.environ.get("MISSIVE_CRASH_SEED") or random.SystemRandom().randrange(1_000_000))


# --- what goes on beside


class Agent:
    """The agent's process. Killed, it comes back at the same address, without its tasks."""

    def __init__(self, folder: Path) -> None:
        self.log = folder / "agent.log"
        self.log.touch()
        self.port = free_port()
        self._process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, str(HERE / "agent.py"), "--port", str(self.port), "--log", str(self.log)]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["pid"] == process.pid
        return process

    def kill(self, pause: float = 0.0) -> None:
        self.close()
        time.sleep(pause)
        self._process = self._start()

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()


def free_port() -> int:
    """Return a port outside the range from which the system gives ports away."""
    while True:
        port = random.SystemRandom().randrange(20_000, 32_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


@contextlib.contextmanager
def no_room(gateway: GatewayProcess) -> Iterator[None]:
    """Let a gateway write no file. (Linux: elsewhere a process cannot limit another one.)"""
    pid = gateway.process.pid
    _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):  # it has ended meanwhile
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (hard, hard))


class Disk:
    """A disk that is full for a while: a small tmpfs where one can be mounted, else a limit on the size of files.

    `folder` is on it.
    """

    SIZE = "256m"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.is_real = False
        with contextlib.suppress(OSError):
            command = ["mount", "-t", "tmpfs", "-o", f"size={self.SIZE}", "missive-crash", str(folder)]
            self.is_real = subprocess.run(command, capture_output=True, check=False).returncode == 0

    @contextlib.contextmanager
    def full(self, gateway: GatewayProcess) -> Iterator[None]:
        if not self.is_real:
            with no_room(gateway):
                yield
            return
        ballast = self.folder / "ballast"
        try:
            with ballast.open("wb", buffering=0) as file:
                for size in (1 << 20, 1 << 12):
                    with contextlib.suppress(OSError):
                        while True:
                            file.write(b"\0" * size)
            yield
        finally:
            ballast.unlink(missing_ok=True)

    def close(self) -> None:
        if self.is_real:
            subprocess.run(["umount", str(self.folder)], check=True)


# --- the run


class Run:
    """One run of a plan in a folder."""

    def __init__(self, plan: Plan, folder: Path, say: Any) -> None:
        self.plan, self.say = plan, say
        self.folder = folder / "home"
        self.folder.mkdir()
        self.disk = Disk(self.folder) if plan.disk_full else None
        self.rng = random.Random(f"{plan.seed}/kills")
        self.report = Report(plan.seed, plan.deliveries)
        self.home = Home(self.folder)
        self.agent = Agent(folder)
        self.home.configure(CONFIG.format(port=self.agent.port, folder=self.folder))
        self.files, self.stdio, self.http = Files(self.folder), Stdio(), Http(plan.seed)
        self.doors: list[Door] = [self.files, self.stdio, self.http]
        self.environ: dict[str, str] = {}
        self.program: tuple[str, ...] | None = None
        self.clock = folder / "clock"
        if plan.clock_jumps:
            self.clock.write_text("0")
            self.environ[BESIDE] = str(self.clock)
            self.program = (str(HERE / "jumping.py"),)

    def close(self) -> None:
        for door in self.doors:
            door.stop()
        self.agent.close()
        if self.disk is not None:
            self.disk.close()

    def draw(self) -> list[list[Delivery]]:
        """Return what is given in each life of the gateway."""
        plan, rng = self.plan, random.Random(f"{self.plan.seed}/deliveries")
        lives = plan.kills + 1
        given: list[list[Delivery]] = [[] for _ in range(lives)]
        for number in range(plan.deliveries):
            name = f"d-{number:05}"
            door = rng.choice(plan.doors)
            text = f"now {name}" if rng.random() < 0.6 else f"later {rng.uniform(0.02, 0.8):.2f} {name}"
            command = "stream" if rng.random() < 0.2 else "send"
            session = f"s{rng.randrange(SESSIONS)}" if rng.random() < 0.15 else None
            pause = 0.0 if plan.at_once else rng.uniform(0, 3.0 * lives / plan.deliveries)
            given[number * lives // plan.deliveries].append(Delivery(name, door, command, text, session, pause))
        return given

    def start(self) -> GatewayProcess:
        gateway = GatewayProcess(self.home, stdin=True, env=self.environ, program=self.program)
        for door in self.doors:
            door.opened(gateway)
        return gateway

    def run(self) -> Report:
        began = time.monotonic()
        lives = self.draw()
        beside = [
            *["agent"] * self.plan.agent_kills, *["disk"] * self.plan.disk_full, *["clock"] * self.plan.clock_jumps,
        ]  # fmt: skip
        self.rng.shuffle(beside)
        for life, given in enumerate(lives):
            last = life == len(lives) - 1
            share = beside[life * len(beside) // len(lives) : (life + 1) * len(beside) // len(lives)]
            at_start = not last and not share and self.rng.random() < 0.2
            delay = self.rng.uniform(0.05, 0.9) if at_start else self.rng.uniform(0.02, 1.2)
            gateway = self.start()
            with gateway, self.explained(gateway):
                for delivery in given:
                    self.door(delivery.door).todo.put(delivery)
                if at_start:
                    self.report.kills_at_start += 1
                else:
                    self.http.listens(gateway.ready(60).url)
                    self._trouble(gateway, share)
                if last:
                    self._finish(gateway)
                else:
                    time.sleep(delay)
                    gateway.kill()
                    self.report.kills += 1
                for door in self.doors:
                    door.closed()
            self.say(f"life {life}: {self.missing()} of {self.plan.deliveries} not answered")
        self.report.seconds = round(time.monotonic() - began, 1)
        return self.report

    @contextlib.contextmanager
    def explained(self, gateway: GatewayProcess) -> Iterator[None]:
        """Say what the gateway has said, if something is not as it should be."""
        try:
            yield
        except BaseException:
            self.say(gateway.errors[-8000:])
            raise

    def _trouble(self, gateway: GatewayProcess, share: list[str]) -> None:
        """Let other things go wrong."""
        for what in share:
            if what == "agent":
                time.sleep(self.rng.uniform(0.1, 1.0))
                self.agent.kill(self.rng.uniform(0, 0.5))
                self.report.agent_kills += 1
            elif what == "disk":
                assert self.disk is not None
                with self.disk.full(gateway):
                    time.sleep(self.rng.uniform(0.2, 2.0))
                self.report.disk_full += 1
            else:
                jump = self.rng.choice((-1, 1)) * self.rng.choice((30, 3600, 40 * 3600, 400 * 86400))
                self.clock.write_text(str(jump))
                self.report.clock_jumps += 1
                time.sleep(self.rng.uniform(0, 0.5))

    def door(self, name: str) -> Door:
        return next(door for door in self.doors if door.name == name)

    def missing(self) -> int:
        return sum(len(door.missing()) for door in self.doors)

    def _finish(self, gateway: GatewayProcess) -> None:
        deadline = time.monotonic() + self.plan.seconds
        while self.missing() or self._undelivered():
            assert gateway.process.poll() is None
            assert time.monotonic() < deadline, self._stuck(gateway)
            time.sleep(0.1)
        checks.same_again(self.http)
        assert gateway.stop(60) == 0

    def _undelivered(self) -> int:
        """Return how many have been answered, as far as we see, without the gateway knowing (the disk was full)."""
        with self.home.store() as store:
            return sum(row.delivered_at is None for row in store.read(lambda tables: tables.work.list()))

    def _stuck(self, gateway: GatewayProcess) -> Any:
        left = {door.name: sorted(door.missing())[:10] for door in self.doors}
        with self.home.store() as store:
            rows = store.read(lambda tables: tables.work.list())
        states = Counter((row.adapter, row.state, row.delivered_at is not None) for row in rows)
        return left, states, gateway.status()

    def check(self) -> Report:
        report = self.report
        self.files.collect()
        answers = checks.one_answer_each(self.doors)
        assert len(answers) == self.plan.deliveries
        checks.answers_are_right(answers, errors=self.plan.errors)
        checks.files_are_tidy(self.files)
        database = self.home.settings().paths.database
        checks.store_is_whole(database)
        with self.home.store() as store:
            rows = checks.work_is_done(store, self.doors)
            assert journal_differences(store) == []
        sent = checks.one_message_each(self.agent.log, rows, answers)
        checks.nothing_is_left(self.folder)
        report.answers_ok = sum(answer.ok for answer in answers.values())
        report.answers_error = len(answers) - report.answers_ok
        report.errors = dict(
            Counter(answer.content[:90] for answer in answers.values() if not answer.ok).most_common(9)
        )
        report.printed_twice = sum(len(found) > 1 for found in self.stdio.answers.values())
        report.posts, report.frames_refused = self.http.tries, self.stdio.refused
        report.sent_again = sum(count - 1 for count in sent.values())
        report.attempts = dict(sorted(Counter(row.attempts for row in rows).items()))
        report.dead = sum(row.state == "dead" for row in rows)
        return report


def carry_out(plan: Plan, folder: Path, say: Any = lambda _text: None) -> Report:
    """Run a plan and check what came of it. Raises `AssertionError`."""
    say(f"seed {plan.seed}, in {folder}")
    run = Run(plan, folder, say)
    try:
        run.run()
        return run.check()
    finally:
        run.close()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--deliveries", type=int, default=2000)
    parser.add_argument("--kills", type=int, default=50, help="how often the gateway is killed")
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--agent-kills", type=int, default=0, help="how often the agent is killed, too")
    parser.add_argument("--disk-full", type=int, default=0, help="how often the disk is full for a while")
    parser.add_argument("--clock-jumps", type=int, default=0, help="how often the clock jumps, by up to 400 days")
    parser.add_argument("--doors", nargs="+", choices=DOORS, default=DOORS, help="only these")
    parser.add_argument("--at-once", action="store_true", help="give all that a gateway gets in its life at once")
    parser.add_argument("--folder", type=Path, help="an empty folder to work in, which stays; else a temporary one")
    args = parser.parse_args()
    plan = Plan(
        deliveries=args.deliveries,
        kills=args.kills,
        seed=seed_from_environment() if args.seed is None else args.seed,
        agent_kills=args.agent_kills,
        disk_full=args.disk_full,
        clock_jumps=args.clock_jumps,
        doors=tuple(args.doors),
        at_once=args.at_once,
    )
    with contextlib.ExitStack() as stack:
        folder = args.folder or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="missive-crash-")))
        folder.mkdir(exist_ok=True)
        report = carry_out(plan, folder, lambda text: print(text, file=sys.stderr, flush=True))
    print(json.dumps(report.__dict__))
    return 0


if __name__ == "__main__":
    sys.exit(main())
