// Every piece as a cell: what state it is in, and how rare. The arrow keys walk through them.

import { Canvas } from "./canvas.js";
import { between, colours } from "./colours.js";
import { el, say } from "./dom.js";
import { plural } from "./format.js";

const GAP = 2;
const STEPS = 5;

export class PieceMap {
  constructor() {
    this.swarm = null;
    this.at = null;
    this.place = el("div.canvas");
    this.canvas = new Canvas("", () => this.swarm && this.draw(this.swarm)).within(this.place);
    const map = this.canvas.element;
    map.tabIndex = 0;
    map.setAttribute("role", "application");
    map.setAttribute("aria-roledescription", "map of pieces");
    map.setAttribute("aria-label", "Pieces: move with the arrow keys");
    map.addEventListener("keydown", (event) => this.onKey(event));
    map.addEventListener("pointermove", (event) => this.point(this.pieceAt(event)));
    map.addEventListener("pointerdown", (event) => this.point(this.pieceAt(event)));
    map.addEventListener("pointerleave", () => this.point(null));
    map.addEventListener("blur", () => this.point(null));
    this.said = el("p.readout", { "aria-live": "polite" });
    this.legend = el("ul.legend");
    this.element = el("div.piece-map", {}, this.place, el("div.under", {}, this.legend, this.said));
  }

  /** Cells as large as there is room for. */
  layOut(total) {
    const width = this.canvas.room;
    let size = 22;
    const rows = (cell) => Math.ceil(total / Math.max(1, Math.floor((width + GAP) / (cell + GAP))));
    while (size > 5 && rows(size) * (size + GAP) > 150) size -= 1;
    this.size = size;
    this.columns = Math.max(1, Math.floor((width + GAP) / (size + GAP)));
    this.rows = rows(size);
    return [width, this.rows * (size + GAP) - GAP];
  }

  draw(swarm) {
    this.swarm = swarm;
    const shown = colours();
    const most = Math.max(1, swarm.copies.reduce((high, copies) => Math.max(high, copies), 0));
    const [width, height] = this.layOut(swarm.total || 1);
    const context = this.canvas.clear(width, Math.max(height, this.size));
    const step = this.size + GAP;
    for (let piece = 0; piece < swarm.total; piece += 1) {
      const [x, y] = [(piece % this.columns) * step, Math.floor(piece / this.columns) * step];
      context.fillStyle = this.colour(swarm, piece, most, shown);
      context.fillRect(x, y, this.size, this.size);
      if (swarm.underWay[piece]) {
        context.fillStyle = shown.origin;
        const dot = Math.max(2, Math.round(this.size / 3.5));
        context.fillRect(x + this.size - dot, y, dot, dot);
      }
      if (piece === this.at) {
        context.strokeStyle = shown.ink;
        context.lineWidth = 2;
        context.strokeRect(x + 1, y + 1, this.size - 2, this.size - 2);
      }
    }
    this.explain(most, shown);
    if (this.at != null) say(this.said, this.describe(this.at));
  }

  colour(swarm, piece, most, shown) {
    const copies = swarm.copies[piece];
    if (copies) return between(between(shown.panel, shown.peers, 0.3), shown.peers, most > 1 ? Math.log(copies) / Math.log(most) : 0);
    return swarm.seeded[piece] ? between(shown.panel, shown.seed, 0.75) : shown.shade;
  }

  explain(most, shown) {
    const key = `${most} ${shown.peers}`;
    if (this.explained === key) return;
    this.explained = key;
    const entry = (colour, text) => {
      const swatch = el("i");
      swatch.style.background = colour;
      return el("li", {}, swatch, text);
    };
    const pale = between(shown.panel, shown.peers, 0.3);
    const ramp = Array.from({ length: STEPS }, (_, step) => between(pale, shown.peers, step / (STEPS - 1)));
    const scale = el("i.ramp");
    scale.style.background = `linear-gradient(90deg, ${ramp.join(", ")})`;
    this.legend.replaceChildren(
      entry(shown.shade, "not there yet"),
      entry(between(shown.panel, shown.seed, 0.75), "only at the supernode"),
      el("li", {}, scale, most > 1 ? `at peers: 1 to ${most}` : "at one peer"),
      entry(shown.origin, "under way"),
    );
  }

  describe(piece) {
    const { copies, seeded, underWay } = this.swarm;
    const parts = [
      seeded[piece] ? "at the supernode" : "not at the supernode",
      `at ${plural(copies[piece], "peer")}`,
    ];
    if (underWay[piece]) parts.push(`under way to ${plural(underWay[piece], "client")}`);
    return `Piece ${piece}: ${parts.join(", ")}`;
  }

  pieceAt(event) {
    const box = this.canvas.element.getBoundingClientRect();
    const step = this.size + GAP;
    const column = Math.floor((event.clientX - box.left) / step);
    const piece = Math.floor((event.clientY - box.top) / step) * this.columns + column;
    return column < this.columns && piece >= 0 && this.swarm && piece < this.swarm.total ? piece : null;
  }

  onKey(event) {
    const moves = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: this.columns, ArrowUp: -this.columns, Home: -Infinity, End: Infinity };
    if (!(event.key in moves) || !this.swarm || !this.swarm.total) return;
    event.preventDefault();
    const from = this.at ?? -Math.sign(moves[event.key]);
    this.point(Math.max(0, Math.min(this.swarm.total - 1, this.at == null ? Math.max(0, from) : from + moves[event.key])));
  }

  point(piece) {
    if (piece === this.at) return;
    this.at = piece;
    if (piece == null) say(this.said, "");
    if (this.swarm) this.draw(this.swarm);
  }

  close() {
    this.canvas.close();
  }
}
