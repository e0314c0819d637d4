// Who has which pieces: a row for each client, a column for each piece.
//
// Drawn as an image with one pixel a piece and a client, then stretched: so a thousand clients of
// seven hundred pieces cost a few milliseconds.

import { Canvas } from "./canvas.js";
import { channels, colours } from "./colours.js";
import { el } from "./dom.js";
import { plural } from "./format.js";

const LOWEST_ROW = 1;
const HIGHEST_ROW = 26;
const ROOM = 260;

export class HoldingsMap {
  constructor() {
    this.swarm = null;
    this.element = el("div.canvas");
    this.canvas = new Canvas("", () => this.swarm && this.draw(this.swarm)).within(this.element);
    this.image = document.createElement("canvas");
  }

  draw(swarm) {
    this.swarm = swarm;
    const clients = [...swarm.clients.values()].sort((one, other) => other.count - one.count);
    const width = this.canvas.room;
    if (!clients.length || !swarm.total) {
      this.canvas.clear(width, 1);
      return;
    }
    const row = Math.max(LOWEST_ROW, Math.min(HIGHEST_ROW, Math.floor(ROOM / clients.length)));
    const shown = Math.min(clients.length, Math.floor(ROOM / row));
    this.paint(swarm, clients, shown);
    const height = shown * row;
    const context = this.canvas.clear(width, height);
    context.imageSmoothingEnabled = swarm.total > width;
    context.drawImage(this.image, 0, 0, swarm.total, shown, 0, 0, width, height);
    if (row > 3) {
      context.fillStyle = colours().panel;
      for (let line = 1; line < shown; line += 1) context.fillRect(0, line * row - 1, width, 1);
    }
    this.canvas.element.setAttribute("aria-label", `Pieces of ${plural(clients.length, "client")}, those with most on top; the table below says the same in numbers`);
  }

  paint(swarm, clients, shown) {
    if (this.image.width !== swarm.total || this.image.height !== shown) {
      this.image.width = swarm.total;
      this.image.height = shown;
    }
    const context = this.image.getContext("2d");
    const image = context.createImageData(swarm.total, shown);
    const palette = colours();
    const word = (colour) => {
      const [red, green, blue] = channels(colour);
      return (255 << 24) | (blue << 16) | (green << 8) | red;
    };
    const [none, has, way] = [word(palette.shade), word(palette.peers), word(palette.origin)];
    const pixels = new Uint32Array(image.data.buffer);
    const rows = new Map();
    for (let row = 0; row < shown; row += 1) {
      // More clients than rows: an even choice of them.
      const client = clients[Math.floor((row * clients.length) / shown)];
      rows.set(client.id, row);
      const start = row * swarm.total;
      for (let piece = 0; piece < swarm.total; piece += 1) pixels[start + piece] = client.have[piece] ? has : none;
    }
    for (const lease of swarm.leases.values()) {
      const row = rows.get(lease.client);
      if (row !== undefined && lease.piece < swarm.total) pixels[row * swarm.total + lease.piece] = way;
    }
    context.putImageData(image, 0, 0);
  }

  close() {
    this.canvas.close();
  }
}
