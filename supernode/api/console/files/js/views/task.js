// One task: its pieces, its swarm, what holds it up; live, or as it was.

import * as actions from "../actions.js";
import * as api from "../api.js";
import { Badge, el, Figure, mark, say, Share } from "../dom.js";
import { bytes, count, duration, fileName, percent, plural, rate } from "../format.js";
import { HoldingsMap } from "../holdings_map.js";
import { PieceMap } from "../piece_map.js";
import { Replay } from "../replay.js";
import { SwarmGraph } from "../swarm_graph.js";
import { link, part, Table } from "../table.js";
import { cause, status, waitingClients } from "../words.js";

const ASK_AGAIN_MS = 2000;

export class TaskView {
  constructor(app, id) {
    this.app = app;
    this.id = id;
    this.progress = null;
    this.problem = "";
    this.nameOf = (client) => client.peer ? app.model.nameOfPeer(client.peer) : client.id;
    this.pieces = new PieceMap();
    this.holdings = new HoldingsMap();
    this.graph = new SwarmGraph(this.nameOf);
    this.table = this.clientTable();
    this.replay = new Replay(app, id, () => app.frames.want());
    this.build();
    this.timer = setInterval(() => document.hidden || this.askProgress(), ASK_AGAIN_MS);
    this.reload();
  }

  get title() {
    return this.task ? fileName(this.task.taskURL) : "Task";
  }

  get task() {
    return this.app.model.tasks.get(this.id);
  }

  build() {
    this.name = el("h1");
    this.badge = new Badge();
    this.url = el("p.url");
    this.pause = el("button", { type: "button", onclick: () => this.setPaused() });
    this.remove = el("button.danger", { type: "button", onclick: () => this.deleteTask() }, "Delete");
    this.figures = {
      done: new Figure("Clients have", { tone: "peers" }),
      rate: new Figure("Rate"),
      left: new Figure("Time left"),
      saved: new Figure("Given by peers"),
      efficiency: new Figure("Of the best there can be", { hint: "Lower bound of such links, divided by the time it takes: max(F/u_origin, F/u_seed, F/d, N·F/(u_seed + Σu))" }),
    };
    this.why = el("p.why");
    this.whyTitle = el("strong");
    this.whyText = el("span");
    this.whoWaits = el("span.note");
    this.why.append(this.whyTitle, this.whyText, this.whoWaits);
    this.gone = el("p.gone", { role: "alert", hidden: true });
    this.content = el("div.content", {},
      el("section.panel", { "aria-labelledby": "progress" },
        el("h2", { id: "progress" }, "Progress"),
        el("dl.figures.large", {}, ...Object.values(this.figures).map((figure) => figure.element)),
        el("div.waiting", {}, el("h3", {}, "Why waiting?"), this.why)),
      this.replay.controls,
      el("div.columns", {},
        el("section.panel", { "aria-labelledby": "pieces" },
          el("h2", { id: "pieces" }, "Pieces"), this.pieces.element,
          el("h3", {}, "Who has which"), this.holdings.element),
        el("section.panel", { "aria-labelledby": "swarm" },
          el("h2", { id: "swarm" }, "Who feeds whom"), this.graph.element,
          el("ul.legend", {}, ...[["seed", "from the supernode"], ["peers", "from a peer"], ["bad", "overdue"]].map(([colour, text]) => el("li", {}, el(`i.${colour}`), text))))),
      el("section.panel", { "aria-labelledby": "clients" }, el("h2", { id: "clients" }, "Clients"), this.table.element));
    this.element = el("div.view.task", {},
      el("div.head", {}, el("div", {}, el("a.up", { href: "#/" }, "Tasks"), el("div.titled", {}, this.name, this.badge.element), this.url),
        el("div.actions", {}, el("a.button", { href: `#/events?task=${encodeURIComponent(this.id)}` }, "Events"), this.replay.open, this.pause, this.remove)),
      this.replay.note,
      this.gone, this.content);
  }

  clientTable() {
    const now = () => (this.replay.swarm ? this.replay.at : this.app.model.now());
    const rateOf = (client) => (client.status === "RUNNING" ? client.meter.rate(now()) : 0);
    const share = (client) => (this.shown && this.shown.total ? client.count / this.shown.total : 0);
    return new Table({
      caption: "Clients",
      empty: "Nobody downloads it.",
      key: (client) => client.id,
      sort: ~1,
      columns: [
        {
          title: "Client",
          wide: true,
          value: this.nameOf,
          cell: (cell, client, slot) => {
            link(cell, slot, client.peer ? `#/peers/${encodeURIComponent(client.peer)}` : null, this.nameOf(client), client.id);
          },
        },
        { title: "Has", bar: true, value: share, cell: (cell, client, slot) => part(cell, slot, () => new Share("Share of the file", "peers"), share(client)) },
        { title: "Rate", numeric: true, value: rateOf, cell: (_, client) => (rateOf(client) >= 1 ? rate(rateOf(client)) : "–") },
        { title: "From supernode", numeric: true, optional: true, value: (client) => client.fromSeed, cell: (_, client) => bytes(client.fromSeed) },
        { title: "From peers", numeric: true, optional: true, value: (client) => client.fromPeers, cell: (_, client) => bytes(client.fromPeers) },
        { title: "Under way", numeric: true, optional: true, value: (client) => client.leases, cell: (_, client) => (client.leases ? count(client.leases) : "–") },
        { title: "State", optional: true, value: (client) => status(client.status)[0], cell: (cell, client, slot) => part(cell, slot, () => new Badge(), status(client.status)) },
      ],
    });
  }

  /** Read the swarm anew. */
  async reload() {
    try {
      const read = await api.swarm(this.id);
      if (this.closed) return;
      if (!this.task) {
        const { data } = await api.task(this.id);
        this.app.model.tasks.set(this.id, data);
      }
      this.app.model.loadSwarm(read);
      this.problem = "";
      document.title = `${this.title} · supernode`;
    } catch (error) {
      if (this.closed) return;
      this.problem = error.message;
    }
    await this.askProgress();
  }

  async askProgress() {
    try {
      this.progress = (await api.progress(this.id)).data;
      this.problem = "";
    } catch (error) {
      if (error.status) this.problem = error.message;
    }
    this.app.frames.want();
  }

  setPaused() {
    actions.setPaused(this.id, this.title, !(this.task && this.task.paused)).then(() => this.askProgress());
  }

  async deleteTask() {
    if (await actions.deleteTask(this.id, this.title)) location.hash = "#/";
  }

  draw() {
    const { model } = this.app;
    const { task } = this;
    this.gone.hidden = !this.problem;
    say(this.gone, this.problem);
    if (task) {
      say(this.name, fileName(task.taskURL));
      say(this.url, task.taskURL);
      this.badge.set(status(task.cdnStatus, task.paused));
      say(this.pause, task.paused ? "Resume" : "Pause");
    }
    const live = model.swarm && model.swarm.task === this.id ? model.swarm : null;
    const swarm = this.replay.swarm || live;
    this.shown = swarm;
    this.content.hidden = !swarm;
    mark(this.content, "data-replay", this.replay.swarm ? "" : null);
    if (!swarm) return;
    this.drawFigures(swarm, Boolean(this.replay.swarm));
    this.pieces.draw(swarm);
    this.holdings.draw(swarm);
    this.graph.draw(swarm);
    this.table.show([...swarm.clients.values()]);
    this.replay.draw();
  }

  drawFigures(swarm, isReplay) {
    const { figures } = this;
    const { progress } = this;
    const sizes = [swarm.length != null && bytes(swarm.length), swarm.total && plural(swarm.total, "piece")].filter(Boolean).join(", ");
    figures.done.set(swarm.clients.size ? percent(swarm.progress) : "–", `${plural(swarm.running, "client")} downloading; ${sizes || "size unknown"}`);
    let [seed, peers, now] = [0, 0, 0];
    for (const client of swarm.clients.values()) {
      seed += client.fromSeed;
      peers += client.fromPeers;
      if (!isReplay && client.status === "RUNNING") now += client.meter.rate(this.app.model.now());
    }
    figures.saved.set(seed + peers ? percent(peers / (seed + peers)) : "–", seed + peers ? `${bytes(seed)} from the supernode` : "");
    if (isReplay || !progress) {
      for (const name of ["rate", "left", "efficiency"]) figures[name].set("–", isReplay ? "live only" : "");
      this.say("", isReplay ? "Known only while it happens." : "", "");
      return;
    }
    figures.rate.set(progress.running ? rate(Math.max(progress.rate, 0)) : "–", progress.rates.origin && swarm.status === "RUNNING" ? `origin ${rate(progress.rates.origin)}` : "to all clients");
    figures.left.set(progress.running ? duration(progress.secondsLeft) : "–", progress.seconds != null ? `${duration(progress.seconds)} ${progress.running ? "so far" : "in all"}` : "");
    figures.efficiency.set(percent(progress.efficiency), progress.lowerBound ? `best: ${duration(progress.lowerBound)}` : "not known yet");
    const [title, text] = cause(progress.waiting.cause);
    this.say(title, text || progress.waiting.text, waitingClients(progress.waiting.clients, progress.running), progress.waiting.cause);
  }

  say(title, text, who, name = null) {
    say(this.whyTitle, title);
    say(this.whyText, text);
    say(this.whoWaits, who);
    mark(this.why, "data-cause", name);
  }

  close() {
    this.closed = true;
    clearInterval(this.timer);
    this.app.model.forgetSwarm();
    for (const piece of [this.pieces, this.holdings, this.graph, this.replay]) piece.close();
  }
}
