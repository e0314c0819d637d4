// The live events: one websocket that comes back, and goes on where it broke off.

import { address, overview } from "./api.js";

const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 8000;
const BATCH_MS = 250;
/** How long what comes in one go is gathered: every event is a message of its own. */
const GATHER_MS = 20;

export class Feed {
  /**
   * @param onEvents called with what has come, an array of events.
   * @param onLink called when the connection opens, "live", or is lost, "lost".
   */
  constructor(onEvents, onLink) {
    this.onEvents = onEvents;
    this.onLink = onLink;
    this.last = null;
    this.pause = FIRST_PAUSE_MS;
    this.socket = null;
    this.timer = 0;
    this.gathered = [];
    addEventListener("online", () => this.retryNow());
    document.addEventListener("visibilitychange", () => document.hidden || this.retryNow());
  }

  /** Begin, with the event after number `since`. */
  start(since) {
    this.last = since;
    this.connect();
  }

  /** Give the present connection up, and make another. */
  restart() {
    if (this.socket) this.socket.close();
  }

  retryNow() {
    if (this.timer) {
      clearTimeout(this.timer);
      this.connect();
    }
  }

  async connect() {
    this.timer = 0;
    try {
      // One that has lost its memory counts from its beginning.
      this.last = Math.min(this.last, (await overview()).seq);
    } catch {
      this.again();
      return;
    }
    const url = address(`events?batch=${BATCH_MS}&since=${this.last}`);
    url.protocol = url.protocol.replace("http", "ws");
    const socket = new WebSocket(url);
    this.socket = socket;
    socket.onopen = () => {
      this.pause = FIRST_PAUSE_MS;
      this.onLink("live");
    };
    socket.onmessage = (message) => this.gather(message.data);
    socket.onclose = () => {
      if (this.socket !== socket) return;
      this.socket = null;
      this.again();
    };
  }

  /** Try once more, after a pause that grows. */
  again() {
    this.onLink("lost");
    this.timer = setTimeout(() => this.connect(), this.pause * (0.5 + Math.random()));
    this.pause = Math.min(this.pause * 2, LONGEST_PAUSE_MS);
  }

  gather(text) {
    const event = JSON.parse(text);
    const number = event.type === "gap" ? event.to : event.seq;
    if (number <= this.last) return;
    this.last = number;
    if (!this.gathered.length) setTimeout(() => this.onEvents(this.gathered.splice(0)), GATHER_MS);
    this.gathered.push(event);
  }
}
