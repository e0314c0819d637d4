// The events as they happen, filtered.

import { el, mark, say } from "../dom.js";
import { clock, count, fileName, shortId } from "../format.js";
import { detail, tone } from "../words.js";

const MOST_SHOWN = 100;
/** What is of interest only to those who look for it. */
const NOISE = /^(peer\.seen|download\.seen|pieces\.offered|lease\.released)$/;
const KINDS = ["task", "piece", "lease", "download", "peer", "preheat", "claim", "disk", "journal", "daemon"];

export class EventsView {
  constructor(app, query) {
    this.app = app;
    this.title = "Events";
    const asked = new URLSearchParams((query || "").replace(/^\?/, ""));
    this.held = null;
    const input = (label, value, attributes = {}) => el("input", { type: "search", "aria-label": label, placeholder: label, value, oninput: () => this.refilter(), spellcheck: "false", ...attributes });
    this.type = el("select", { "aria-label": "Kind of event", onchange: () => this.refilter() },
      el("option", { value: "" }, "Every kind"), ...KINDS.map((kind) => el("option", { value: kind, selected: asked.get("type") === kind }, kind)));
    this.text = input("Type, piece, client, reason …", asked.get("text") || "");
    this.task = input("Task", asked.get("task") || "");
    this.peer = input("Peer", asked.get("peer") || "");
    this.all = el("input", { type: "checkbox", onchange: () => this.refilter() });
    this.hold = el("button", { type: "button", "aria-pressed": "false", onclick: () => this.toggle() }, "Hold");
    this.state = el("p.note", { role: "status" });
    this.body = el("tbody");
    this.lines = new Map();
    this.element = el("div.view.events", {},
      el("div.head", {}, el("h1", {}, "Events"), el("div.actions", {}, this.hold)),
      el("div.filters", { role: "search", "aria-label": "Which events" }, this.type, this.text, this.task, this.peer, el("label.check", {}, this.all, "signs of life too")),
      el("section.panel", { "aria-label": "Events" }, this.state,
        el("div.scroll", { tabindex: 0, role: "group", "aria-label": "Events" },
          el("table.log", {}, el("caption", {}, "Events, newest first"),
            el("thead", {}, el("tr", {}, ...["Time", "Type", "What", "Task"].map((title) => el("th", { scope: "col" }, title)))), this.body))));
    this.refilter();
  }

  refilter() {
    const [task, peer, kind] = [this.task.value.trim(), this.peer.value.trim(), this.type.value];
    const words = this.text.value.trim().toLowerCase().split(/\s+/).filter(Boolean);
    this.wanted = (event) => {
      if (!this.all.checked && NOISE.test(event.type)) return false;
      if (kind && !event.type.startsWith(`${kind}`)) return false;
      if (task && !(event.task || "").startsWith(task)) return false;
      if (peer && ![event.peer, event.holder].some((id) => (id || "").includes(peer))) return false;
      if (!words.length) return true;
      const said = JSON.stringify(event).toLowerCase();
      return words.every((word) => said.includes(word));
    };
    this.dirty = true;
    this.app.frames.want();
  }

  /** Let what is shown stand, or go on. */
  toggle() {
    const { log } = this.app.model;
    this.held = this.held ? null : { events: log.newest(MOST_SHOWN, this.wanted), seen: log.seen };
    mark(this.hold, "aria-pressed", String(Boolean(this.held)));
    say(this.hold, this.held ? "Go on" : "Hold");
    this.app.frames.want();
  }

  draw() {
    const { log } = this.app.model;
    if (this.seen === log.seen && !this.dirty && !this.held) return;
    this.seen = log.seen;
    const events = this.held && !this.dirty ? this.held.events : log.newest(MOST_SHOWN, this.wanted);
    if (this.held) this.held.events = events;
    this.dirty = false;
    const waiting = this.held ? `; ${count(log.seen - this.held.seen)} more since` : "";
    say(this.state, events.length ? `The last ${count(events.length)} of ${count(log.seen)} since this page was opened${waiting}` : "No such event since this page was opened.");
    const shown = new Map();
    let place = this.body.firstChild;
    for (const event of events) {
      const key = event.seq ?? `gap ${event.from}`;
      const line = this.lines.get(key) || row(event, this.app.model);
      shown.set(key, line);
      if (line === place) place = place.nextSibling;
      else this.body.insertBefore(line, place);
    }
    for (const [key, line] of this.lines) if (!shown.has(key)) line.remove();
    this.lines = shown;
  }

  close() {}
}

function row(event, model) {
  const task = event.task && model.tasks.get(event.task);
  const name = task ? fileName(task.taskURL) : shortId(event.task || "");
  return el("tr", {},
    el("td.time", {}, event.time ? clock(Date.parse(event.time), true) : "–"),
    el("td", {}, el("span.type", { "data-tone": tone(event.type) }, event.type)),
    el("td.what", {}, detail(event, (id) => model.nameOfPeer(id))),
    el("td", {}, event.task ? el("a", { href: `#/tasks/${encodeURIComponent(event.task)}` }, name) : ""));
}
