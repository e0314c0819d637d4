// The public interface, as this page uses it.

const BASE = new URL(".", document.baseURI);

/** What the supernode says is wrong. */
export class Refusal extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/** Return the URL of something in the interface. */
export function address(path) {
  return new URL(path, BASE);
}

async function ask(path, { method = "GET", body, timeout = 15000 } = {}) {
  let answer;
  try {
    answer = await fetch(address(path), {
      method,
      body: body === undefined ? undefined : JSON.stringify(body),
      signal: AbortSignal.timeout(timeout),
      cache: "no-store",
    });
  } catch (error) {
    throw new Refusal(0, error.name === "TimeoutError" ? "the supernode does not answer" : "the supernode cannot be reached");
  }
  const text = await answer.text();
  if (!answer.ok) {
    let message = `${answer.status} ${answer.statusText}`;
    try {
      message = JSON.parse(text).message || message;
    } catch {
      // Whatever is in between did not answer in JSON.
    }
    throw new Refusal(answer.status, message);
  }
  return { seq: Number(answer.headers.get("Supernode-Seq") || 0), data: text ? JSON.parse(text) : null };
}

const id = encodeURIComponent;
export const MOST_LISTED = 1000;

export const overview = () => ask("overview");
export const version = () => ask("version");
export const tasks = () => ask(`tasks?pageSize=${MOST_LISTED}&sortKey=created&sortDirect=DESC`);
export const task = (task) => ask(`tasks/${id(task)}`);
export const swarm = (task) => ask(`tasks/${id(task)}/swarm`);
export const progress = (task) => ask(`tasks/${id(task)}/progress`);
export const peers = () => ask(`peers?pageSize=${MOST_LISTED}`);
export const activity = (peer) => ask(`peers/${id(peer)}/activity`);
export const preheats = () => ask("preheats?pageSize=200");
export const preheat = (preheat) => ask(`preheats/${id(preheat)}`);

export const setPaused = (task, paused) => ask(`tasks/${id(task)}`, { method: "PUT", body: { paused } });
export const deleteTask = (task) => ask(`tasks/${id(task)}`, { method: "DELETE" });
export const deletePeer = (peer) => ask(`peers/${id(peer)}`, { method: "DELETE" });
export const startPreheat = (wish) => ask("preheats", { method: "POST", body: wish });
export const deletePreheat = (preheat) => ask(`preheats/${id(preheat)}`, { method: "DELETE" });
