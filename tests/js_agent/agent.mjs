// An A2A agent by an SDK that missive does not use: the first word of the text chooses what it does.
//
//   echo TEXT      a direct Message (and so does any unknown word)
//   task           a task with a text, a data and a file artifact, completed
//   stream N       a task with N status updates and N chunks of one artifact, completed
//   ask QUESTION   a task that asks for input; the follow-up completes it
//
// It prints one line of JSON when it is ready, in the form of missive_host.demo.server, and ends
// on SIGTERM, on SIGINT and at the end of its standard input.

import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:http";

import { Role, TaskState } from "@a2a-js/sdk";
import { AgentEvent, DefaultRequestHandler, InMemoryTaskStore } from "@a2a-js/sdk/server";
import { agentCardHandler, jsonRpcHandler, restHandler, UserBuilder } from "@a2a-js/sdk/server/express";
import express from "express";

const part = (content, mediaType = "", filename = "") => ({ content, metadata: undefined, filename, mediaType });
const text = (value) => part({ $case: "text", value }, "text/plain");

const message = (contextId, taskId, value) => ({
  messageId: randomUUID(),
  contextId,
  taskId,
  role: Role.ROLE_AGENT,
  parts: [text(value)],
  metadata: undefined,
  extensions: [],
  referenceTaskIds: [],
});

class Turn {
  constructor(context, bus) {
    this.context = context;
    this.bus = bus;
    this.ids = { taskId: context.taskId, contextId: context.task?.contextId ?? context.contextId };
  }

  open() {
    this.bus.publish(
      AgentEvent.task({
        id: this.ids.taskId,
        contextId: this.ids.contextId,
        status: { state: TaskState.TASK_STATE_SUBMITTED, message: undefined, timestamp: new Date().toISOString() },
        artifacts: [],
        history: [this.context.userMessage],
        metadata: undefined,
      }),
    );
  }

  status(state, value) {
    const said = value === undefined ? undefined : message(this.ids.contextId, this.ids.taskId, value);
    this.bus.publish(
      AgentEvent.statusUpdate({
        ...this.ids,
        status: { state, message: said, timestamp: new Date().toISOString() },
        metadata: undefined,
      }),
    );
  }

  artifact(artifactId, parts, { append = false, lastChunk = true } = {}) {
    this.bus.publish(
      AgentEvent.artifactUpdate({
        ...this.ids,
        artifact: { artifactId, name: artifactId, description: "", parts, metadata: undefined, extensions: [] },
        append,
        lastChunk,
        metadata: undefined,
      }),
    );
  }
}

const behaviours = {
  echo(turn, rest) {
    turn.bus.publish(AgentEvent.message(message(turn.ids.contextId, "", rest || "(nothing to echo)")));
  },
  task(turn) {
    turn.open();
    turn.status(TaskState.TASK_STATE_WORKING, "Working on it.");
    turn.artifact("summary", [text("Worked.")]);
    turn.artifact("result", [part({ $case: "data", value: { ok: true } }, "application/json")]);
    const raw = Buffer.from("step,seconds\r\nwork,0\r\n");
    turn.artifact("report", [part({ $case: "raw", value: raw }, "text/csv", "report.csv")]);
    turn.status(TaskState.TASK_STATE_COMPLETED, "Done.");
  },
  stream(turn, rest) {
    const count = Number.parseInt(rest, 10) || 3;
    turn.open();
    turn.status(TaskState.TASK_STATE_WORKING, "Working on it.");
    for (let step = 1; step <= count; step += 1) {
      turn.status(TaskState.TASK_STATE_WORKING, `step ${step} of ${count}`);
      turn.artifact("stream", [text(`chunk ${step}\n`)], { append: step > 1, lastChunk: step === count });
    }
    turn.status(TaskState.TASK_STATE_COMPLETED, "Done.");
  },
  ask(turn, rest) {
    turn.open();
    turn.status(TaskState.TASK_STATE_INPUT_REQUIRED, rest || "What is your name?");
  },
};

class Executor {
  #contexts = new Map(); // task id to context id: a cancel names only the task

  async execute(context, bus) {
    const turn = new Turn(context, bus);
    this.#contexts.set(turn.ids.taskId, turn.ids.contextId);
    const texts = context.userMessage.parts.filter((each) => each.content?.$case === "text");
    const whole = texts.map((each) => each.content.value).join("\n");
    const [, first = "", rest = ""] = /^\s*(\S+)\s*([\s\S]*)$/.exec(whole) ?? [];
    if (context.task !== undefined) {
      bus.publish(AgentEvent.task(context.task)); // this SDK wants a stream to begin with the task
      turn.status(TaskState.TASK_STATE_WORKING);
      turn.artifact("answer", [text(`You answered: ${whole}`)]);
      turn.status(TaskState.TASK_STATE_COMPLETED, `You answered: ${whole}`);
    } else if (Object.hasOwn(behaviours, first.toLowerCase())) {
      behaviours[first.toLowerCase()](turn, rest);
    } else {
      behaviours.echo(turn, whole);
    }
    bus.finished();
  }

  async cancelTask(taskId, bus) {
    const turn = new Turn({ taskId, contextId: this.#contexts.get(taskId) ?? "" }, bus);
    turn.status(TaskState.TASK_STATE_CANCELED, "Cancelled.");
    bus.finished();
  }
}

const app = express();
const server = createServer(app);
server.listen(0, "127.0.0.1");
await once(server, "listening");
const url = `http://127.0.0.1:${server.address().port}`;
const interfaces = [
  { binding: "JSONRPC", url: `${url}/rpc` },
  { binding: "HTTP+JSON", url: `${url}/rest` },
];

const card = {
  name: "js-agent",
  description: "An agent by @a2a-js/sdk.",
  supportedInterfaces: interfaces.map(({ binding, url: at }) => ({
    url: at,
    protocolBinding: binding,
    tenant: "",
    protocolVersion: "1.0",
  })),
  provider: undefined,
  version: "1.0.0",
  capabilities: { streaming: true, pushNotifications: false, extensions: [], extendedAgentCard: false },
  securitySchemes: {},
  securityRequirements: [],
  defaultInputModes: ["text/plain"],
  defaultOutputModes: ["text/plain", "application/json", "text/csv"],
  skills: Object.keys(behaviours).map((id) => ({
    id,
    name: id,
    description: `Does ${id}.`,
    tags: ["test"],
    examples: [id],
    inputModes: [],
    outputModes: [],
    securityRequirements: [],
  })),
  signatures: [],
};

const requestHandler = new DefaultRequestHandler(card, new InMemoryTaskStore(), new Executor());
const userBuilder = UserBuilder.noAuthentication;
app.use("/.well-known/agent-card.json", agentCardHandler({ agentCardProvider: requestHandler }));
app.use("/rpc", jsonRpcHandler({ requestHandler, userBuilder }));
app.use("/rest", restHandler({ requestHandler, userBuilder }));

function stop() {
  server.close(() => process.exit(0));
  server.closeAllConnections();
}
process.on("SIGTERM", stop);
process.on("SIGINT", stop);
process.stdin.on("end", stop).resume();

const bindings = interfaces.map(({ binding }) => binding);
console.log(JSON.stringify({ name: card.name, url, pid: process.pid, protocol: "1.0", bindings, interfaces }));
