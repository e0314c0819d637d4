// Who feeds whom now: the supernode in the middle, clients around it, a line for each open lease.
//
// A client keeps its place as long as it is there, so that the picture is calm.

import { Canvas } from "./canvas.js";
import { colours } from "./colours.js";
import { el } from "./dom.js";
import { plural } from "./format.js";
import { SEED } from "./swarm.js";

const GOLDEN = Math.PI * (3 - Math.sqrt(5));
const MOST_LABELS = 24;
const ROUND = 2 * Math.PI;

export class SwarmGraph {
  /** @param nameOf what a client is called, from its record. */
  constructor(nameOf) {
    this.nameOf = nameOf;
    this.swarm = null;
    this.places = new Map();
    this.free = [];
    this.element = el("div.canvas");
    this.canvas = new Canvas("", () => this.swarm && this.draw(this.swarm)).within(this.element);
  }

  draw(swarm) {
    if (this.swarm && this.swarm.task !== swarm.task) this.places.clear();
    this.swarm = swarm;
    this.seat(swarm);
    const width = this.canvas.room;
    const height = Math.min(width, 380);
    const context = this.canvas.clear(width, height);
    const few = swarm.clients.size <= MOST_LABELS;
    const spots = this.spots(swarm, width, height, few);
    const middle = [width / 2, height / 2];
    this.drawLeases(context, swarm, spots, middle, few);
    this.drawClients(context, swarm, spots, few, middle);
    this.drawSeed(context, middle);
    this.canvas.element.setAttribute("aria-label", summary(swarm));
  }

  /** Give every client a place that stays its own. */
  seat(swarm) {
    for (const [id, place] of this.places) {
      if (!swarm.clients.has(id)) {
        this.places.delete(id);
        this.free.push(place);
      }
    }
    for (const id of swarm.clients.keys()) {
      if (!this.places.has(id)) this.places.set(id, this.free.pop() ?? this.places.size + this.free.length);
    }
  }

  spots(swarm, width, height, few) {
    const [across, down] = [width / 2 - (few ? 56 : 12), height / 2 - (few ? 30 : 12)];
    const places = Math.max(...this.places.values(), 0) + 1;
    const spots = new Map();
    for (const [id, place] of this.places) {
      let [angle, far] = [(ROUND * place) / places - Math.PI / 2, 1];
      if (!few) [angle, far] = [place * GOLDEN, Math.sqrt((place + 0.06 * places + 1) / (1.06 * places + 1))];
      spots.set(id, [width / 2 + Math.cos(angle) * far * across, height / 2 + Math.sin(angle) * far * down]);
    }
    return spots;
  }

  drawLeases(context, swarm, spots, middle, few) {
    const shown = colours();
    const ofPeer = new Map();
    for (const client of swarm.clients.values()) if (client.peer) ofPeer.set(client.peer, client.id);
    const paths = { seed: new Path2D(), peers: new Path2D(), overdue: new Path2D() };
    for (const lease of swarm.leases.values()) {
      const to = spots.get(lease.client);
      const from = lease.holder === SEED ? middle : spots.get(ofPeer.get(lease.holder));
      if (!from || !to) continue;
      const path = paths[lease.overdue ? "overdue" : lease.holder === SEED ? "seed" : "peers"];
      // Peers' lines bend to their right: there and back are two, and none crosses the middle.
      const bend = lease.holder === SEED ? 0 : 0.18;
      const by = [(from[0] + to[0]) / 2 - (to[1] - from[1]) * bend, (from[1] + to[1]) / 2 + (to[0] - from[0]) * bend];
      path.moveTo(...from);
      path.quadraticCurveTo(...by, ...to);
      if (few) arrow(path, by, to);
    }
    context.lineWidth = few ? 1.6 : 1;
    context.globalAlpha = few ? 0.85 : Math.max(0.18, Math.min(0.7, 120 / swarm.leases.size));
    context.strokeStyle = shown.peers;
    context.stroke(paths.peers);
    context.globalAlpha = few ? 1 : 0.9;
    context.strokeStyle = shown.seed;
    context.stroke(paths.seed);
    context.strokeStyle = shown.bad;
    context.setLineDash([3, 3]);
    context.stroke(paths.overdue);
    context.setLineDash([]);
    context.globalAlpha = 1;
  }

  drawClients(context, swarm, spots, few, middle) {
    const shown = colours();
    const radius = few ? 9 : Math.max(2, Math.min(6, 60 / Math.sqrt(swarm.clients.size)));
    for (const [id, [x, y]] of spots) {
      const client = swarm.clients.get(id);
      const share = swarm.total ? client.count / swarm.total : 0;
      context.fillStyle = client.status === "FAILED" ? shown.bad : shown.panel;
      context.strokeStyle = client.peer ? shown.peers : shown.quiet;
      context.lineWidth = few ? 1.5 : 1;
      context.beginPath();
      context.arc(x, y, radius, 0, ROUND);
      context.fill();
      if (share) {
        context.fillStyle = shown.peers;
        context.beginPath();
        context.moveTo(x, y);
        context.arc(x, y, radius, -Math.PI / 2, -Math.PI / 2 + ROUND * share);
        context.fill();
      }
      context.beginPath();
      context.arc(x, y, radius, 0, ROUND);
      context.stroke();
      if (few) this.label(context, client, x, y, radius, middle);
    }
  }

  label(context, client, x, y, radius, middle) {
    const name = this.nameOf(client);
    context.fillStyle = colours().quiet;
    context.strokeStyle = colours().panel;
    context.lineWidth = 3;
    context.lineJoin = "round";
    context.font = "11px system-ui, sans-serif";
    context.textAlign = "center";
    context.textBaseline = y < middle[1] ? "bottom" : "top";
    const shown = name.length > 18 ? `${name.slice(0, 17)}…` : name;
    const place = [x, y + (y < middle[1] ? -radius - 3 : radius + 4)];
    context.strokeText(shown, ...place);
    context.fillText(shown, ...place);
  }

  drawSeed(context, [x, y]) {
    const shown = colours();
    context.fillStyle = shown.seed;
    context.strokeStyle = shown.panel;
    context.lineWidth = 3;
    context.beginPath();
    context.arc(x, y, 13, 0, ROUND);
    context.fill();
    context.stroke();
    context.fillStyle = shown.panel;
    context.font = "600 12px system-ui, sans-serif";
    context.textAlign = "center";
    context.textBaseline = "middle";
    context.fillText("S", x, y + 0.5);
  }

  close() {
    this.canvas.close();
  }
}

function arrow(path, from, to) {
  const angle = Math.atan2(to[1] - from[1], to[0] - from[0]);
  const [tipX, tipY] = [to[0] - Math.cos(angle) * 11, to[1] - Math.sin(angle) * 11];
  for (const turn of [0.45, -0.45]) {
    path.moveTo(tipX, tipY);
    path.lineTo(tipX - Math.cos(angle + turn) * 7, tipY - Math.sin(angle + turn) * 7);
  }
}

function summary(swarm) {
  let fromSeed = 0;
  for (const lease of swarm.leases.values()) fromSeed += lease.holder === SEED;
  return `${plural(swarm.clients.size, "client")}; the supernode is giving ${plural(fromSeed, "piece")}, peers are giving ${plural(swarm.leases.size - fromSeed, "piece")}`;
}
