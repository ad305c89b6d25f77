import type { ParentEvent, ParentStage } from "../../parent/runner/parent_state.ts";

/** Form of the log. */
export type LogForm = "json" | "text";

/** Words for a reader, by the step that begins. */
const STAGES: Readonly<Record<ParentStage, string>> = {
  credentials: "asking for the instance's credentials",
  artefacts: "reading the artefacts",
  services: "opening the proxy and the bridges",
  launch: "launching the enclave",
  wait: "waiting until the enclave answers",
  inject: "injecting credentials and secrets, and waiting until the enclave is ready",
  watch: "watching the enclave",
  pause: "pausing before the next start",
  drain: "ending the enclave in good order",
  ended: "ended",
};

/**
 * Writes one event as a line of the log.
 *
 * @param event The event, which holds no secret
 * @param form JSON for programs, or text for a reader
 * @param now The time
 */
export function logLine(event: ParentEvent, form: LogForm, now: Date = new Date()): string {
  if (form === "text") return `${now.toISOString().slice(11, 19)} ${textOf(event)}\n`;
  return `${JSON.stringify({ time: now.toISOString(), level: levelOf(event), ...fieldsOf(event) })}\n`;
}

function levelOf({ event }: ParentEvent): "info" | "warn" | "error" {
  if (event === "failure") return "error";
  return ["notice", "unready", "enclave-ended"].includes(event) ? "warn" : "info";
}

function fieldsOf(event: ParentEvent): object {
  if (event.event === "failure") return { event: event.event, ...event.failure, pauseMs: event.pauseMs };
  return event;
}

function textOf(event: ParentEvent): string {
  switch (event.event) {
    case "stage":
      return STAGES[event.stage];
    case "service":
      return `  ${event.kind} listens on ${event.address}`;
    case "launched": {
      const { name, id, cid, memoryMib, isDebug } = event.enclave;
      return `  ${name} runs as ${id}, CID ${cid}, ${memoryMib} MiB${isDebug ? ", IN DEBUG MODE" : ""}`;
    }
    case "credentials":
      return `  credentials were pushed (${event.reason})${
        event.isKept ? ": older ones, as the source fails" : ""
      }`;
    case "secret":
      return `  secret ${event.name} was taken on port ${event.port} (${event.bytes} bytes, sealed)`;
    case "ready":
      return event.afterMs === 0
        ? "the enclave is ready again"
        : `the enclave is ready, after ${event.afterMs} ms`;
    case "unready":
      return `the enclave is not ready: ${event.missing.join(", ") || "it does not answer"}`;
    case "enclave-ended":
      return `the enclave has ended: ${event.end.reason}`;
    case "failure": {
      const { code, message, hint } = event.failure;
      const pause = event.pauseMs === undefined ? "" : `; next start in ${event.pauseMs} ms`;
      return `${message} (${code})${pause}\n         hint: ${hint}`;
    }
    case "notice":
      return event.message;
  }
}
