// Reads the events that are still kept, as lines of JSON, up to a number.

import { address, Refusal } from "./api.js";

const MOST = 50000;
const QUIET_MS = 1500;

/**
 * Return the events of a task up to number `seq`, in order: as many of the last as are kept.
 *
 * The stream goes on with what happens next, so it is left when it has got there, or when nothing
 * has come for a while: then there is nothing more that is kept.
 */
export async function readEvents(task, seq) {
  const leave = new AbortController();
  let quiet = setTimeout(() => leave.abort(), QUIET_MS * 4);
  const events = [];
  try {
    const url = address(`events?since=${Math.max(0, seq - MOST)}&task=${encodeURIComponent(task)}`);
    const answer = await fetch(url, { signal: leave.signal, cache: "no-store" });
    if (!answer.ok) throw new Refusal(answer.status, "the events cannot be read");
    const lines = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      clearTimeout(quiet);
      quiet = setTimeout(() => leave.abort(), QUIET_MS);
      const { done, value } = await lines.read();
      if (done) break;
      const parts = (rest + value).split("\n");
      rest = parts.pop();
      for (const line of parts) {
        if (!line) continue; // a sign of life
        const event = JSON.parse(line);
        if (event.seq > seq) return events;
        if (event.type !== "gap") events.push(event);
        if (event.seq === seq) return events;
      }
    }
  } catch (error) {
    if (error.name !== "AbortError") throw error;
  } finally {
    clearTimeout(quiet);
    leave.abort();
  }
  return events;
}
