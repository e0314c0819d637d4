// What states, causes and events are called. Pure.

import { bytes, count, duration, plural } from "./format.js";

const STATUS = {
  WAITING: ["waiting", "quiet"],
  RUNNING: ["running", "busy"],
  SUCCESS: ["complete", "good"],
  FAILED: ["failed", "bad"],
  SKIPPED: ["skipped", "quiet"],
  SOURCE_ERROR: ["origin failed", "bad"],
};

/** How far something is: what to say and in which tone. */
export function status(of, paused = false) {
  if (paused) return ["paused", "warn"];
  return STATUS[of] || [String(of || "unknown").toLowerCase(), "quiet"];
}

/** By the name of a cause: a title, and what could be done about it. */
const CAUSES = {
  idle: ["Nobody", "Nobody is downloading; nobody waits."],
  paused: ["Paused", "An operator has paused the task. Resume it to let pieces go again."],
  queue: ["Its turn", "Other fetches come first: the limit of connections to origins is reached."],
  check: ["Origin’s word", "The origin is being asked whether it still has the file so."],
  disk: ["Disk", "The supernode’s copy is being read and verified on its disk."],
  origin: ["Origin", "The next pieces have not come from the origin yet."],
  seed_slots: ["Seed slots", "Only the supernode has the next pieces, and all its slots are taken."],
  peer_slots: ["Peer slots", "Peers hold the next pieces, and all their slots are taken."],
  links: ["Links", "Everybody has pieces under way: only faster links would help."],
};

/** A cause by its name: title and explanation. */
export function cause(name) {
  return CAUSES[name] || [name, ""];
}

/** "4 of 10 clients wait: peer slots; 6 have all the pieces under way that they may." */
export function waitingClients(clients, running) {
  if (!running) return "";
  const parts = Object.entries(clients)
    .filter(([name, number]) => name !== "links" && number)
    .map(([name, number]) => `${count(number)} of ${plural(running, "client")} wait: ${cause(name)[0].toLowerCase()}`);
  if (clients.links) parts.push(`${count(clients.links)} with as many pieces under way as they may have`);
  return parts.length ? `${parts.join("; ")}.` : "";
}

/** Who gave a piece, or is to: a peer's short name, or the supernode. */
export function holder(id, nameOf) {
  if (!id) return "somebody";
  if (id === "seed") return "supernode";
  return nameOf(id);
}

const REASON_OF_CHOICE = {
  peer: "a peer with a free slot holds it",
  first_copy: "no peer has it: a first copy",
  holders_full: "its holders are all busy",
  holders_avoided: "its holders have just failed this client",
};

/** What an event says besides its type, in a line. */
export function detail(event, nameOf) {
  const piece = event.piece != null ? `piece ${event.piece}` : "";
  const client = event.client ? `to ${event.client}` : "";
  const from = event.holder ? `from ${holder(event.holder, nameOf)}` : "";
  switch (event.type) {
    case "piece.cached":
      return `${piece}, ${bytes(event.bytes)}`;
    case "piece.assigned":
      return `${piece} ${client} ${from}: ${REASON_OF_CHOICE[event.why] || event.why || ""}`;
    case "piece.finished":
      return `${piece} ${client} ${from}${event.seconds != null ? ` in ${duration(event.seconds)}` : ""}`;
    case "piece.failed":
    case "lease.fell_overdue":
    case "lease.expired":
    case "lease.released":
      return `${piece} ${client} ${from}${event.reason ? `: ${event.reason}` : ""}`;
    case "task.registered":
      return event.taskURL || "";
    case "task.sized":
    case "task.finished":
      return event.bytes != null ? bytes(event.bytes) : "length unknown";
    case "gap":
      return `events ${count(event.from)} to ${count(event.to)} were missed`;
    default:
      return rest(event);
  }
}

const KNOWN_ELSEWHERE = new Set(["seq", "time", "type", "task", "generation"]);

function rest(event) {
  return Object.entries(event)
    .filter(([name, value]) => !KNOWN_ELSEWHERE.has(name) && typeof value !== "object")
    .map(([name, value]) => `${name} ${value}`)
    .join(", ");
}

/** The tone in which an event's type is shown. */
export function tone(type) {
  if (/\.(failed|expired|quarantined|warned|rejected|lost|accused)$|^gap$/.test(type)) return "bad";
  if (/\.(fell_\w+|released|paused|doubted|left|filled|told_to_stop)$/.test(type)) return "warn";
  if (/\.(finished|cached|verified|confirmed|resumed|cleared|caught_up|started)$/.test(type)) return "good";
  return "quiet";
}
