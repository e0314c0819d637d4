// Preheats: what is fetched before anybody asks, layer by layer.

import * as actions from "../actions.js";
import * as api from "../api.js";
import { Badge, Bar, el, mark, say } from "../dom.js";
import { bytes, duration, fileName, percent } from "../format.js";
import { status } from "../words.js";

const ASK_AGAIN_MS = 2000;
const MOST_SHOWN = 50;

export class PreheatsView {
  constructor(app) {
    this.app = app;
    this.title = "Preheats";
    this.cards = new Map();
    this.list = el("div.cards");
    this.empty = el("p.empty", {}, "No preheats in the last day.");
    this.element = el("div.view", {},
      el("div.head", {}, el("h1", {}, "Preheats"), el("div.actions", {}, el("button.primary", { type: "button", onclick: () => this.start() }, "Start a preheat"))),
      this.empty, this.list);
    this.timer = setInterval(() => document.hidden || this.askAgain(), ASK_AGAIN_MS);
  }

  async start() {
    if (await actions.startPreheat()) this.app.readSoon("preheats");
  }

  askAgain() {
    if ([...this.app.model.preheats.values()].some(isOpen)) this.app.readSoon("preheats");
  }

  draw() {
    const { model } = this.app;
    const preheats = [...model.preheats.values()].slice(0, MOST_SHOWN);
    this.empty.hidden = preheats.length > 0;
    const kept = new Set();
    let place = this.list.firstChild;
    for (const preheat of preheats) {
      kept.add(preheat.ID);
      if (!this.cards.has(preheat.ID)) this.cards.set(preheat.ID, new Card(preheat, this.app));
      const card = this.cards.get(preheat.ID);
      card.draw(preheat, model);
      if (card.element === place) place = place.nextSibling;
      else this.list.insertBefore(card.element, place);
    }
    for (const [id, card] of this.cards) {
      if (kept.has(id)) continue;
      card.element.remove();
      this.cards.delete(id);
    }
  }

  close() {
    clearInterval(this.timer);
  }
}

class Card {
  constructor(preheat, app) {
    this.app = app;
    this.detailed = null;
    this.name = el("h2");
    this.badge = new Badge();
    this.url = el("p.url");
    this.note = el("p.note");
    this.problem = el("p.gone", { hidden: true });
    this.bar = new Bar(`Progress of ${fileName(preheat.url)}`, "seed");
    this.parts = el("ul.layers");
    this.rows = new Map();
    const remove = el("button", { type: "button", onclick: () => this.remove(preheat) }, "Delete");
    this.element = el("article.panel.preheat", {}, el("div.titled", {}, this.name, this.badge.element, remove), this.url, this.bar.element, this.note, this.problem, this.parts);
  }

  async remove(preheat) {
    if (await actions.deletePreheat(preheat.ID, fileName(preheat.url))) this.app.readSoon("preheats");
  }

  draw(preheat, model) {
    say(this.name, preheat.type === "image" ? preheat.url : fileName(preheat.url));
    say(this.url, preheat.url);
    this.badge.set(status(preheat.status));
    this.problem.hidden = !preheat.errorMsg;
    say(this.problem, preheat.errorMsg || "");
    const layers = this.layers(preheat, model);
    const shares = layers.map((layer) => layer.share);
    const weights = layers.map((layer) => layer.size || 1);
    const whole = weights.reduce((sum, weight) => sum + weight, 0);
    const share = preheat.status === "SUCCESS" ? 1 : whole ? shares.reduce((sum, one, index) => sum + one * weights[index], 0) / whole : 0;
    this.bar.set(share);
    const took = preheat.finishTime ? (Date.parse(preheat.finishTime) - Date.parse(preheat.startTime)) / 1000 : (model.now() - Date.parse(preheat.startTime)) / 1000;
    say(this.note, `${percent(share)}, ${preheat.finishTime ? "took" : "for"} ${duration(took)}${layers.length > 1 ? `, ${layers.length} layers` : ""}`);
    this.drawLayers(layers.length > 1 ? layers : []);
    if (preheat.type === "image" && !this.asked) this.ask(preheat);
  }

  /** Of an image that is listed without its layers: ask for them. */
  async ask(preheat) {
    this.asked = true;
    try {
      this.detailed = (await api.preheat(preheat.ID)).data;
    } catch {
      this.detailed = null;
    }
    setTimeout(() => {
      this.asked = !isOpen(preheat);
    }, ASK_AGAIN_MS);
    this.app.frames.want();
  }

  /** What is fetched: the blobs of an image, or the file itself. */
  layers(preheat, model) {
    const known = (preheat.blobs && preheat.blobs.length ? preheat : this.detailed || preheat).blobs || [];
    const parts = known.length ? known : preheat.taskID ? [{ taskID: preheat.taskID, status: preheat.status }] : [];
    return parts.map((part) => {
      const task = model.tasks.get(part.taskID) || {};
      const done = part.status === "SUCCESS" || task.cdnStatus === "SUCCESS";
      return {
        key: part.taskID || part.digest,
        name: part.digest || fileName(part.url || task.taskURL || ""),
        size: part.size ?? task.httpFileLength,
        share: done ? 1 : task.pieceTotal ? (task.piecesCached || 0) / task.pieceTotal : 0,
        status: part.status || task.cdnStatus,
        reason: part.errorMsg || part.detail || part.reason || "",
      };
    });
  }

  drawLayers(layers) {
    const kept = new Set();
    for (const layer of layers) {
      kept.add(layer.key);
      if (!this.rows.has(layer.key)) {
        const row = { name: el("span.digest"), size: el("span.number"), badge: new Badge(), bar: new Bar(`Progress of ${layer.name}`, "seed"), reason: el("span.note") };
        row.element = el("li", {}, row.name, row.bar.element, row.size, row.badge.element, row.reason);
        this.rows.set(layer.key, row);
        this.parts.append(row.element);
      }
      const row = this.rows.get(layer.key);
      say(row.name, layer.name.replace(/^(sha256:.{12}).*$/, "$1…"));
      mark(row.name, "title", layer.name);
      say(row.size, bytes(layer.size));
      row.badge.set(status(layer.status));
      row.bar.set(layer.share);
      say(row.reason, layer.reason);
    }
    for (const [key, row] of this.rows) {
      if (kept.has(key)) continue;
      row.element.remove();
      this.rows.delete(key);
    }
  }
}

function isOpen(preheat) {
  return /WAITING|RUNNING/.test(preheat.status);
}
