// Scrubs back through the events of a task that are still kept.
//
// The swarm as it is now is rewound event by event to where they begin; from there it is played
// forward to any of them.

import * as api from "./api.js";
import { el, mark, say } from "./dom.js";
import { readEvents } from "./past_events.js";
import { clock, plural } from "./format.js";
import { Swarm } from "./swarm.js";

const SPEEDS = [1, 4, 16];
const FRAME_MS = 100;

export class Replay {
  constructor(app, task, changed) {
    this.app = app;
    this.task = task;
    this.changed = changed;
    /** As it was; none: what is shown is live. */
    this.swarm = null;
    this.at = 0;
    this.open = el("button", { type: "button", onclick: () => this.begin() }, "Replay");
    this.note = el("p.note", { role: "status" });
    this.play = el("button", { type: "button", onclick: () => this.toggle() }, "Play");
    this.speed = el("button", { type: "button", onclick: () => this.faster(), title: "Faster" });
    this.slider = el("input", { type: "range", min: 0, value: 0, step: 1, "aria-label": "Time", oninput: () => this.seek(Number(this.slider.value)) });
    this.time = el("output");
    this.live = el("button.primary", { type: "button", onclick: () => this.end() }, "Back to live");
    this.controls = el("section.controls", { hidden: true, "aria-label": "Replay" }, this.play, this.speed, this.slider, this.time, this.live);
    this.setSpeed(SPEEDS[1]);
  }

  async begin() {
    this.open.disabled = true;
    say(this.note, "reading the events that are kept …");
    try {
      const { seq, data } = await api.swarm(this.task);
      this.events = thisGeneration(await readEvents(this.task, seq));
      if (!this.events.length) {
        say(this.note, "No events of this task are kept any longer.");
        return;
      }
      this.times = this.events.map((event) => Date.parse(event.time));
      this.now = data;
      this.slider.max = this.events.length;
      this.controls.hidden = false;
      this.open.hidden = true;
      this.index = null;
      this.seek(this.events.length);
      say(this.note, "");
      this.slider.focus();
    } catch (error) {
      say(this.note, error.message);
    } finally {
      this.open.disabled = false;
    }
  }

  /** Show how it was after so many events. */
  seek(index) {
    if (this.index == null || index < this.index) {
      this.swarm = this.first();
      this.index = 0;
    }
    while (this.index < index) {
      this.swarm.apply(this.events[this.index], this.times[this.index]);
      this.index += 1;
    }
    this.at = this.times[Math.max(0, index - 1)];
    if (Number(this.slider.value) !== index) this.slider.value = index;
    mark(this.slider, "aria-valuetext", `${clock(this.at)}, ${plural(index, "event")}`);
    this.changed();
  }

  /** The swarm as it was before the first event that is kept. */
  first() {
    const swarm = new Swarm(this.now);
    for (let index = this.events.length - 1; index >= 0; index -= 1) swarm.rewind(this.events[index], this.times[index]);
    return swarm;
  }

  toggle() {
    if (this.timer) this.stop();
    else {
      if (this.index === this.events.length) this.seek(0);
      this.timer = setInterval(() => this.step(), FRAME_MS);
      say(this.play, "Stop");
    }
  }

  step() {
    const until = this.at + FRAME_MS * this.factor;
    let index = this.index;
    while (index < this.events.length && this.times[index] <= until) index += 1;
    if (index === this.index) this.at = until; // nothing happened in this time
    else this.seek(index);
    this.at = until;
    if (this.index === this.events.length) this.stop();
    this.changed();
  }

  stop() {
    clearInterval(this.timer);
    this.timer = 0;
    say(this.play, "Play");
  }

  faster() {
    this.setSpeed(SPEEDS[(SPEEDS.indexOf(this.factor) + 1) % SPEEDS.length]);
  }

  setSpeed(factor) {
    this.factor = factor;
    say(this.speed, `${factor}×`);
    mark(this.speed, "aria-label", `Speed ${factor} times`);
  }

  end() {
    this.stop();
    this.swarm = null;
    this.controls.hidden = true;
    this.open.hidden = false;
    this.open.focus();
    this.changed();
  }

  draw() {
    if (this.swarm) say(this.time, clock(this.at));
  }

  close() {
    this.stop();
  }
}

/** The events since the file was registered last: earlier ones are about another one. */
function thisGeneration(events) {
  for (let index = events.length - 1; index >= 0; index -= 1) {
    if (events[index].type === "task.registered") return events.slice(index + 1);
  }
  return events;
}
