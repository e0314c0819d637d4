// Preheats: what is fetched before anybody asks, layer by layer.

import * as actions from "../actions.js";
import * as api from "../api.js";
import { Badge, Bar, el, mark, say } from "../dom.js";
import { bytes, duration, fileName, percent, plural } from "../format.js";
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
    say(this.name, preheat.type === "file" ? fileName(preheat.url) : preheat.url || `${(preheat.preheats || []).length} preheats`);
    say(this.url, [preheat.type === "file" ? preheat.url : preheat.type, preheat.platform, preheat.digest].filter(Boolean).join(", "));
    this.badge.set(status(preheat.status));
    this.problem.hidden = !preheat.errorMsg;
    say(this.problem, preheat.errorMsg || "");
    const layers = this.layers(preheat, model);
    const whole = preheat.status === "SUCCESS" ? 1 : shareOfAll(layers);
    this.bar.set(whole);
    const until = preheat.finishTime ? Date.parse(preheat.finishTime) : model.now();
    const took = Math.max(0, (until - Date.parse(preheat.startTime)) / 1000);
    const parts = [percent(whole), `${preheat.finishTime ? "took" : "for"} ${duration(took)}`];
    if (preheat.type === "image" && preheat.blobsTotal != null) parts.push(`${preheat.blobsDone || 0} of ${plural(preheat.blobsTotal, "file")}`);
    if (preheat.bytesTotal) parts.push(bytes(preheat.bytesTotal));
    say(this.note, parts.join(", "));
    this.drawLayers(preheat.type === "file" ? [] : layers);
    if (preheat.type === "image" && !this.asked) this.ask(preheat);
  }

  /** Ask for the files of an image: lists of preheats do not have them. */
  async ask(preheat) {
    this.asked = true;
    try {
      this.detailed = (await api.preheat(preheat.ID)).data;
    } catch {
      this.detailed = null;
    }
    setTimeout(() => {
      this.asked = !isOpen(this.detailed || preheat);
    }, ASK_AGAIN_MS);
    this.app.frames.want();
  }

  /** What is fetched: the file itself, the files of an image, or the preheats of a batch. */
  layers(preheat, model) {
    if (preheat.type === "batch") {
      return (preheat.preheats || []).map((one) => ({
        key: one.ID, name: fileName(one.url), title: one.url, status: one.status, share: one.status === "SUCCESS" ? 1 : 0, said: "",
      }));
    }
    const known = (this.detailed && this.detailed.blobs) || [];
    const blobs = preheat.type === "file" ? [{ taskID: preheat.taskID, state: preheat.status, url: preheat.url }] : known;
    return blobs.map((blob) => {
      const task = model.tasks.get(blob.taskID) || {};
      return {
        key: `${blob.taskID} ${blob.digest}`,
        name: blob.digest || fileName(blob.url),
        title: [blob.url, blob.mediaType].filter(Boolean).join(", "),
        size: blob.size ?? task.httpFileLength,
        share: shareOf(blob, task),
        status: blob.state,
        said: [(blob.platforms || []).join(", "), ORIGINS[blob.from], blob.detail || blob.reason].filter(Boolean).join("; "),
      };
    });
  }

  drawLayers(layers) {
    const kept = new Set();
    for (const layer of layers) {
      kept.add(layer.key);
      if (!this.rows.has(layer.key)) {
        const row = { name: el("span.digest"), size: el("span.number"), badge: new Badge(), bar: new Bar(`Progress of ${layer.name}`, "seed"), said: el("span.note") };
        row.element = el("li", {}, row.name, row.bar.element, row.size, row.badge.element, row.said);
        this.rows.set(layer.key, row);
        this.parts.append(row.element);
      }
      const row = this.rows.get(layer.key);
      say(row.name, layer.name.replace(/^(sha256:.{12}).*$/, "$1…"));
      mark(row.name, "title", layer.title);
      say(row.size, bytes(layer.size));
      row.badge.set(status(layer.status));
      row.bar.set(layer.share);
      say(row.said, layer.said);
    }
    for (const [key, row] of this.rows) {
      if (kept.has(key)) continue;
      row.element.remove();
      this.rows.delete(key);
    }
  }
}

/** Where the bytes of a file came from, in words. */
const ORIGINS = { cache: "was there", copy: "was there under another URL", origin: "fetched" };

function shareOf(blob, task) {
  if (/SUCCESS|SKIPPED/.test(blob.state) || task.cdnStatus === "SUCCESS") return 1;
  if (blob.size && blob.bytesDone) return blob.bytesDone / blob.size;
  return task.pieceTotal ? (task.piecesCached || 0) / task.pieceTotal : 0;
}

/** Of several, each as heavy as it is large. */
function shareOfAll(layers) {
  let [done, all] = [0, 0];
  for (const { share, size } of layers) {
    done += share * (size || 1);
    all += size || 1;
  }
  return all ? done / all : 0;
}

function isOpen(preheat) {
  return /WAITING|RUNNING/.test(preheat.status);
}
