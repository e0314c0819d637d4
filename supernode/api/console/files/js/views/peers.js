// All peers.

import { MOST_LISTED } from "../api.js";
import { Badge, el } from "../dom.js";
import { ago, bytes, count } from "../format.js";
import { link, part, Table } from "../table.js";

const READ_AGAIN_MS = 15000;

export class PeersView {
  constructor(app) {
    this.app = app;
    this.title = "Peers";
    this.filter = "";
    const { model } = app;
    this.table = new Table({
      caption: "Peers",
      empty: "No peers.",
      key: (peer) => peer.ID,
      perPage: 50,
      sort: ~3,
      columns: [
        { title: "Host", wide: true, value: (peer) => peer.hostName, cell: (cell, peer, slot) => link(cell, slot, `#/peers/${encodeURIComponent(peer.ID)}`, model.nameOfPeer(peer.ID), peer.ID) },
        { title: "Address", optional: true, value: (peer) => peer.IP, cell: (_, peer) => `${peer.IP.includes(":") ? `[${peer.IP}]` : peer.IP}:${peer.port}` },
        { title: "Downloads", numeric: true, value: (peer) => peer.downloads || 0, cell: (_, peer) => count(peer.downloads || 0) },
        { title: "Gave", numeric: true, value: (peer) => (peer.given ? peer.given.bytes : 0), cell: (_, peer) => (peer.given ? bytes(peer.given.bytes) : "–") },
        { title: "Giving", numeric: true, value: (peer) => peer.slotsUsed || 0, cell: (_, peer) => (peer.slotsUsed ? `${peer.slotsUsed} of ${model.overview.peerSlots}` : "–") },
        { title: "Failed", numeric: true, optional: true, value: (peer) => (peer.given ? peer.given.failed : 0), cell: (_, peer) => (peer.given && peer.given.failed ? count(peer.given.failed) : "–") },
        { title: "Heard of", numeric: true, optional: true, value: (peer) => Date.parse(peer.lastSeen || peer.created), cell: (_, peer) => ago(Date.parse(peer.lastSeen || peer.created), model.now()) },
        { title: "State", value: (peer) => state(peer)[0], cell: (cell, peer, slot) => part(cell, slot, () => new Badge(), state(peer)) },
      ],
    });
    this.search = el("input", { type: "search", "aria-label": "Filter by host or address", placeholder: "Host or address", oninput: () => this.onSearch() });
    this.more = el("p.note");
    this.element = el("div.view", {}, el("div.head", {}, el("h1", {}, "Peers"), this.search), el("section.panel", { "aria-label": "Peers" }, this.table.element, this.more));
    this.timer = setInterval(() => document.hidden || app.readSoon("peers"), READ_AGAIN_MS);
  }

  onSearch() {
    this.filter = this.search.value.trim().toLowerCase();
    this.table.page = 0;
    this.app.frames.want();
  }

  draw() {
    const { model } = this.app;
    const wanted = (peer) => `${peer.hostName} ${peer.IP}:${peer.port}`.toLowerCase().includes(this.filter);
    this.table.show([...model.peers.values()].filter(wanted));
    const { known } = model.overview.peers;
    this.more.hidden = known <= MOST_LISTED;
    this.more.textContent = `${count(model.peers.size)} of ${count(known)} peers.`;
  }

  close() {
    clearInterval(this.timer);
  }
}

/** How a peer is: what to say and in which tone. */
export function state(peer) {
  if (peer.quarantinedUntil) return ["quarantined", "bad"];
  if (peer.silent) return ["silent", "warn"];
  return peer.slotsUsed ? ["giving", "busy"] : ["idle", "quiet"];
}
