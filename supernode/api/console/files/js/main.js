// The page: what is read when, which view is shown, when it is drawn.

import * as api from "./api.js";
import { notify } from "./dialogs.js";
import { el, mark, say } from "./dom.js";
import { Feed } from "./feed.js";
import { count, decoded } from "./format.js";
import { Frames } from "./frames.js";
import { Model } from "./model.js";
import { EventsView } from "./views/events.js";
import { OverviewView } from "./views/overview.js";
import { PeerView } from "./views/peer.js";
import { PeersView } from "./views/peers.js";
import { PreheatsView } from "./views/preheats.js";
import { TaskView } from "./views/task.js";

const LOOK_AGAIN_MS = 10000;
const TICK_MS = 1000;
const READ_AGAIN_MS = 500;

const VIEWS = [
  [/^#?\/?$/, OverviewView],
  [/^#\/tasks\/(.+)$/, TaskView],
  [/^#\/peers$/, PeersView],
  [/^#\/peers\/(.+)$/, PeerView],
  [/^#\/preheats$/, PreheatsView],
  [/^#\/events(\?.*)?$/, EventsView],
];

class App {
  constructor() {
    this.model = new Model();
    this.frames = new Frames(() => this.draw());
    this.feed = new Feed((events) => this.take(events), (state) => this.onLink(state));
    this.main = document.getElementById("main");
    this.link = document.getElementById("link");
    this.state = "connecting";
    this.view = null;
    this.begun = false;
    this.reading = new Map();
    this.recent = [];
  }

  async begin() {
    addEventListener("hashchange", () => this.route(true));
    this.route(false);
    setInterval(() => this.tick(), TICK_MS);
    setInterval(() => this.lookAgain(), LOOK_AGAIN_MS);
    await this.readAll();
  }

  /** Read every part anew; the feed goes on after the oldest of them. */
  async readAll() {
    const { model } = this;
    const parts = [
      ["overview", api.overview, (read) => model.loadOverview(read)],
      ["tasks", api.tasks, (read) => model.loadTasks(read)],
      ["peers", api.peers, (read) => model.loadPeers(read)],
      ["preheats", api.preheats, (read) => model.loadPreheats(read)],
    ];
    try {
      const read = await Promise.all(parts.map(([, get]) => get()));
      parts.forEach(([, , load], index) => load(read[index]));
      if (!this.begun) {
        this.begun = true;
        this.feed.start(Math.min(...read.map(({ seq }) => seq)));
      }
      if (this.view && this.view.reload) await this.view.reload();
    } catch (error) {
      this.onLink("lost", error.message);
      setTimeout(() => this.begun || this.readAll(), READ_AGAIN_MS * 4);
    }
    this.frames.want();
  }

  /** Read a part anew soon; many wishes at once are one. */
  readSoon(part) {
    if (this.reading.has(part)) return;
    const timer = setTimeout(async () => {
      try {
        await this.readPart(part);
      } catch {
        // Whoever cannot be reached now is asked again when the feed is back.
      } finally {
        this.reading.delete(part);
      }
      this.frames.want();
    }, READ_AGAIN_MS);
    this.reading.set(part, timer);
  }

  async readPart(part) {
    const { model } = this;
    model.stale.delete(part);
    if (part === "overview") model.loadOverview(await api.overview());
    else if (part === "tasks") model.loadTasks(await api.tasks());
    else if (part === "peers") model.loadPeers(await api.peers());
    else if (part === "preheats") model.loadPreheats(await api.preheats());
    else if (part === "swarm" && this.view && this.view.reload) await this.view.reload();
  }

  take(events) {
    this.model.apply(events);
    this.recent.push([performance.now(), events.length]);
    for (const part of this.model.stale) this.readSoon(part);
    if (this.view && this.view.take) this.view.take(events);
    this.frames.want();
  }

  onLink(state, why = "") {
    const isBack = state === "live" && this.state === "lost";
    this.state = state;
    this.why = why;
    // The supernode may have been restarted, and have forgotten what no event tells of.
    if (isBack && this.begun) this.readAll();
    this.frames.want();
  }

  tick() {
    if (!document.hidden) this.frames.want();
  }

  async lookAgain() {
    if (document.hidden || !this.begun) return;
    try {
      this.model.loadOverview(await api.overview());
    } catch {
      this.feed.restart();
    }
  }

  route(moved) {
    const hash = location.hash || "#/";
    const [pattern, View] = VIEWS.find(([form]) => form.test(hash)) || VIEWS[0];
    const found = hash.match(pattern);
    if (this.view) this.view.close();
    this.view = new View(this, found && found[1] ? decoded(found[1]) : null);
    this.main.replaceChildren(this.view.element);
    document.title = `${this.view.title} · supernode`;
    for (const entry of document.querySelectorAll("header nav a")) {
      const target = entry.getAttribute("href");
      const isHere = target === "#/" ? /^#\/(tasks\/.*)?$/.test(hash) : hash.startsWith(target);
      mark(entry, "aria-current", isHere ? "page" : null);
    }
    if (moved) {
      scrollTo(0, 0);
      this.main.focus({ preventScroll: true });
    }
    this.frames.want();
  }

  /** Do something that may be refused; say so then. */
  async attempt(act) {
    try {
      await act();
      return true;
    } catch (error) {
      notify(error.message);
      return false;
    }
  }

  draw() {
    this.drawLink();
    if (this.begun && this.model.overview && this.view) this.view.draw();
  }

  drawLink() {
    const now = performance.now();
    while (this.recent.length && this.recent[0][0] < now - 3000) this.recent.shift();
    const events = this.recent.reduce((sum, [, number]) => sum + number, 0) / 3;
    mark(this.link, "data-state", this.state);
    const said = { live: "live", lost: "connection lost, trying again", connecting: "connecting" }[this.state];
    say(this.link.querySelector("span"), said);
    mark(this.link, "title", this.state === "live" ? `${count(Math.round(events))} events/s` : this.why || null);
  }
}

const app = new App();
app.begin();

/** For those who measure. */
globalThis.supernodeConsole = app;
