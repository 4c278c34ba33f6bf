"""``missive push`` and ``missive webhook run``, as processes."""

from __future__ import annotations

import json
import signal
from typing import TYPE_CHECKING, Any

import httpx
from support.secrets import planted

if TYPE_CHECKING:
    from cli.conftest import Missive

    from missive_host.demo.fleet import AgentProcess

TOKEN = planted("push-token")


def _documents(out: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.splitlines()]


def test_push_and_webhook_together(missive: Missive, push_agent: AgentProcess) -> None:
    missive.env["PUSH_TOKEN"] = TOKEN
    missive.ok("agent", "add", "worker", push_agent.url)
    webhook = missive.start("webhook", "run", "--port", "0", "--max-events", "1", "--timeout", "50s", "--ndjson")
    assert webhook.stdout is not None
    started = json.loads(webhook.stdout.readline())
    assert started["kind"] == "webhook_started"
    url = started["data"]["url"]
    refused = httpx.post(url, content=b"{", headers={"content-type": "application/json"}, trust_env=False)
    assert refused.status_code == 400
    health = httpx.get(url.removesuffix("/a2a/push") + "/healthz", trust_env=False).json()
    assert (health["component"], health["rejected"]) == ("webhook", 1)
    sent = missive.json("send", "worker", "sleep 6", "--async")
    task = sent["response"]["task_id"]
    made = missive.json("push", "create", "worker", task, url, "--token-env", "PUSH_TOKEN", "--metadata", "team=a")
    config = made["config"]["config_id"]
    listed = missive.ok("push", "list", "worker", task)
    assert config in listed
    assert url in listed
    assert missive.json("push", "get", "worker", task, config)["config"]["metadata"] == {"team": "a"}
    out, err = webhook.communicate(timeout=50)
    assert webhook.returncode == 0, err
    rejected, event, stopped = _documents(out)
    assert (rejected["kind"], rejected["data"]["reason"]) == ("webhook_rejected", "invalid_json")
    assert (event["kind"], event["data"]["task_id"], event["data"]["state"]) == ("webhook_event", task, "completed")
    assert event["data"]["agent"] == "worker"
    assert stopped["data"]["reason"] == "max_events"
    assert (stopped["data"]["accepted"], stopped["data"]["rejected"]) == (1, 1)
    assert missive.json("task", "get", task)["task"]["state"] == "completed"
    assert "sends nothing more" in missive.ok("push", "delete", "worker", task, config)
    assert "no push configs" in missive.ok("push", "list", "worker", task)
    assert TOKEN.encode() not in out + err


def test_a_webhook_ends_with_a_signal_or_in_time(missive: Missive) -> None:
    missive.env["HOOK"] = TOKEN
    webhook = missive.start("webhook", "run", "--port", "0", "--ndjson", "--auth-token-env", "HOOK", "--path", "/hook")
    assert webhook.stdout is not None
    started = json.loads(webhook.stdout.readline())["data"]
    assert (started["path"], started["verification"]) == ("/hook", ["Authorization"])
    assert httpx.post(started["url"], json={}, trust_env=False).status_code == 401
    webhook.send_signal(signal.SIGTERM)
    out, _ = webhook.communicate(timeout=30)
    assert webhook.returncode == 0
    assert _documents(out)[-1]["data"]["reason"] == "signal"
    late = missive.run("webhook", "run", "--port", "0", "--timeout", "200ms", "--ndjson")
    assert late.returncode == 0
    assert json.loads(late.stdout.splitlines()[-1])["data"]["reason"] == "timeout"


def test_what_a_webhook_refuses(missive: Missive) -> None:
    assert missive.error("webhook", "run", "--auth-token-env", "NOT_SET")["exit_code"] == 77
    assert missive.error("webhook", "run", "--bind-address", "example.org")["exit_code"] == 64
    running = missive.start("webhook", "run", "--port", "0", "--ndjson")
    try:
        assert running.stdout is not None
        port = json.loads(running.stdout.readline())["data"]["url"].split(":")[2].split("/")[0]
        assert missive.error("webhook", "run", "--port", port)["exit_code"] == 78
    finally:
        running.terminate()
        running.communicate(timeout=30)
