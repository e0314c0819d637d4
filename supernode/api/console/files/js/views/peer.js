// One peer: what it holds, serves and fails.

import * as actions from "../actions.js";
import * as api from "../api.js";
import { Badge, el, Figure, say, Share } from "../dom.js";
import { ago, bytes, clock, count, fileName, moment, plural } from "../format.js";
import { link, part, Table } from "../table.js";
import { status } from "../words.js";
import { state } from "./peers.js";

const ASK_AGAIN_MS = 2000;

export class PeerView {
  constructor(app, id) {
    this.app = app;
    this.id = id;
    this.activity = null;
    this.problem = "";
    this.build();
    this.reload();
    this.timer = setInterval(() => document.hidden || this.reload(), ASK_AGAIN_MS);
  }

  get title() {
    return this.activity ? this.activity.peer.hostName : this.id;
  }

  build() {
    this.name = el("h1", {}, this.id);
    this.badge = new Badge();
    this.about = el("p.url");
    this.gone = el("p.gone", { role: "alert", hidden: true });
    this.evidence = el("p.gone", { hidden: true });
    this.figures = {
      gave: new Figure("Gave", { tone: "peers" }),
      slots: new Figure("Giving now"),
      failed: new Figure("Failed to give"),
      strikes: new Figure("Strikes", { hint: "How often it was found not to have what it offers, less what was forgiven" }),
      seen: new Figure("Heard of"),
    };
    this.holds = new Table({
      caption: "What it holds",
      empty: "It holds nothing.",
      key: (holding) => `${holding.taskID} ${holding.cID}`,
      sort: 0,
      columns: [
        { title: "File", wide: true, value: (holding) => fileName(holding.taskURL), cell: (cell, holding, slot) => link(cell, slot, `#/tasks/${encodeURIComponent(holding.taskID)}`, fileName(holding.taskURL), holding.taskURL) },
        { title: "Has", bar: true, value: share, cell: (cell, holding, slot) => part(cell, slot, () => new Share("Share of the file", "peers"), share(holding)) },
        { title: "From supernode", numeric: true, optional: true, value: (holding) => holding.fromSeed, cell: (_, holding) => bytes(holding.fromSeed) },
        { title: "From peers", numeric: true, optional: true, value: (holding) => holding.fromPeers, cell: (_, holding) => bytes(holding.fromPeers) },
        { title: "State", value: (holding) => holding.status, cell: (cell, holding, slot) => part(cell, slot, () => new Badge(), status(holding.status)) },
      ],
    });
    this.serves = new Table({
      caption: "What it is giving",
      empty: "It is giving nothing at the moment.",
      key: (lease) => lease.lease,
      sort: 3,
      columns: [
        { title: "To", wide: true, value: (lease) => lease.cID, cell: (_, lease) => lease.cID },
        { title: "Piece", numeric: true, value: (lease) => lease.piece, cell: (_, lease) => count(lease.piece) },
        { title: "Of", value: (lease) => lease.taskID, cell: (cell, lease, slot) => link(cell, slot, `#/tasks/${encodeURIComponent(lease.taskID)}`, this.fileOf(lease.taskID)) },
        { title: "Since", numeric: true, value: (lease) => lease.began, cell: (_, lease) => `${clock(Date.parse(lease.began))}${lease.overdue ? ", overdue" : ""}` },
      ],
    });
    this.content = el("div.content", {},
      el("section.panel", { "aria-labelledby": "work" }, el("h2", { id: "work" }, "Work"), this.evidence,
        el("dl.figures.large", {}, ...Object.values(this.figures).map((figure) => figure.element))),
      el("section.panel", { "aria-labelledby": "holds" }, el("h2", { id: "holds" }, "Holds"), this.holds.element),
      el("section.panel", { "aria-labelledby": "serves" }, el("h2", { id: "serves" }, "Serves now"), this.serves.element));
    this.element = el("div.view", {},
      el("div.head", {}, el("div", {}, el("a.up", { href: "#/peers" }, "Peers"), el("div.titled", {}, this.name, this.badge.element), this.about),
        el("div.actions", {}, el("a.button", { href: `#/events?peer=${encodeURIComponent(this.id)}` }, "Events"),
          el("button.danger", { type: "button", onclick: () => this.remove() }, "Remove"))),
      this.gone, this.content);
  }

  fileOf(task) {
    const known = this.app.model.tasks.get(task);
    return known ? fileName(known.taskURL) : task;
  }

  async reload() {
    try {
      this.activity = (await api.activity(this.id)).data;
      this.problem = "";
      document.title = `${this.title} · supernode`;
    } catch (error) {
      if (error.status) this.problem = error.message;
    }
    this.app.frames.want();
  }

  async remove() {
    if (await actions.removePeer(this.id, this.title)) location.hash = "#/peers";
  }

  draw() {
    this.gone.hidden = !this.problem;
    say(this.gone, this.problem);
    this.content.hidden = !this.activity || Boolean(this.problem);
    if (!this.activity) return;
    const { activity, figures } = this;
    const { peer } = activity;
    const given = peer.given || { bytes: 0, pieces: 0, failed: 0 };
    say(this.name, this.app.model.nameOfPeer(this.id) === this.id ? peer.hostName : this.app.model.nameOfPeer(this.id));
    say(this.about, `${peer.IP} port ${peer.port}${peer.version ? `, version ${peer.version}` : ""}; known since ${moment(Date.parse(peer.created))}`);
    this.badge.set(this.problem ? ["gone", "bad"] : state({ ...peer, silent: activity.silent }));
    this.evidence.hidden = !peer.evidence;
    say(this.evidence, peer.evidence ? `Found: ${peer.evidence}${peer.quarantinedUntil ? `. Nobody is sent to it until ${clock(Date.parse(peer.quarantinedUntil))}.` : ""}` : "");
    figures.gave.set(bytes(given.bytes), plural(given.pieces, "piece"));
    figures.slots.set(`${activity.peer.slotsUsed || 0} of ${activity.slots}`, "slots taken");
    figures.failed.set(count(given.failed), activity.failures ? `${count(activity.failures)} in a row` : "pieces");
    figures.strikes.set(count(activity.strikes), "");
    const seen = Date.parse(peer.lastSeen);
    figures.seen.set(ago(seen, this.app.model.now()), clock(seen));
    this.holds.show(activity.holds);
    this.serves.show(activity.serves);
  }

  close() {
    clearInterval(this.timer);
  }
}

function share(holding) {
  return holding.pieceTotal ? holding.piecesDone / holding.pieceTotal : 0;
}
