// The overview: what P2P saved, how fast it is, which tasks there are.

import { MOST_LISTED } from "../api.js";
import { Badge, Bar, el, Figure, Share } from "../dom.js";
import { bytes, count, fileName, percent, plural, rate } from "../format.js";
import { RateChart } from "../rate_chart.js";
import { link, part, Table } from "../table.js";
import { status } from "../words.js";

export class OverviewView {
  constructor(app) {
    this.app = app;
    this.title = "Overview";
    this.saved = new Figure("Given by peers", { hint: "Share of what clients were given that came from other clients, not from the supernode" });
    this.figures = {
      origin: new Figure("From origins", { tone: "origin" }),
      seed: new Figure("From the supernode", { tone: "seed" }),
      peers: new Figure("From peers", { tone: "peers" }),
    };
    this.facts = {
      tasks: new Figure("Tasks"),
      peers: new Figure("Peers"),
      leases: new Figure("Pieces under way"),
      preheats: new Figure("Preheats"),
      disk: new Figure("Disk"),
    };
    this.disk = new Bar("How full the disk is");
    this.facts.disk.element.append(el("dd", {}, this.disk.element));
    this.chart = new RateChart();
    this.table = taskTable(app.model);
    this.more = el("p.note");
    this.element = el("div.view.overview", {},
      el("h1.hidden", {}, "Overview"),
      el("section.panel.flow", { "aria-labelledby": "flow" },
        el("h2", { id: "flow" }, "Traffic"),
        el("dl.figures.large", {}, this.saved.element, ...Object.values(this.figures).map((figure) => figure.element)),
        this.chart.element),
      el("section.panel", { "aria-labelledby": "now" },
        el("h2", { id: "now" }, "Now"),
        el("dl.figures", {}, ...Object.values(this.facts).map((figure) => figure.element))),
      el("section.panel", { "aria-labelledby": "tasks" }, el("h2", { id: "tasks" }, "Tasks"), this.table.element, this.more));
  }

  draw() {
    const { model } = this.app;
    const now = model.now();
    const { total } = model.traffic;
    const given = total.seed + total.peers;
    this.saved.set(given ? percent(total.peers / given) : "–", given ? `${bytes(given)} to clients in all` : "nothing yet");
    const rates = model.traffic.rates(now, 1);
    for (const [source, figure] of Object.entries(this.figures)) figure.set(bytes(total[source]), rate(rates[source][0]));
    this.chart.draw(model.traffic, Date.parse(model.overview.started), now);
    this.drawFacts(model);
    this.table.show([...model.tasks.values()]);
    const known = Object.values(model.overview.tasks).reduce((sum, number) => sum + number, 0);
    this.more.hidden = known <= MOST_LISTED;
    this.more.textContent = `The newest ${count(model.tasks.size)} of ${count(known)} tasks.`;
  }

  drawFacts(model) {
    const { overview } = model;
    const tasks = [...model.tasks.values()];
    const some = (form) => tasks.filter(form).length;
    const running = tasks.reduce((sum, task) => sum + (task.running || 0), 0);
    const failed = some((task) => /FAILED|SOURCE_ERROR/.test(task.cdnStatus));
    const fetched = some((task) => task.cdnStatus === "RUNNING");
    this.facts.tasks.set(count(tasks.length), [`${count(fetched)} being fetched`, failed && `${count(failed)} failed`].filter(Boolean).join(", "));
    const peers = [...model.peers.values()];
    const away = [overview.peers.silent && `${count(overview.peers.silent)} silent`, overview.peers.quarantined && `${count(overview.peers.quarantined)} quarantined`].filter(Boolean);
    this.facts.peers.set(count(peers.length < MOST_LISTED ? peers.length : overview.peers.known), away.join(", ") || "all heard of");
    this.facts.leases.set(count(overview.leases), plural(running, "download"));
    const preheats = [...model.preheats.values()];
    const open = preheats.filter((preheat) => /WAITING|RUNNING/.test(preheat.status)).length;
    const bad = preheats.filter((preheat) => preheat.status === "FAILED").length;
    this.facts.preheats.set(count(open), bad ? `${count(bad)} failed` : "open");
    const { disk } = overview;
    if (disk) {
      this.facts.disk.set(bytes(disk.cached), `cached; ${bytes(disk.free)} free`);
      this.disk.set(1 - disk.free / disk.total);
    } else this.facts.disk.set("–", "");
  }

  close() {
    this.chart.close();
  }
}

function taskTable(model) {
  const share = (task) => (task.pieceTotal ? (task.piecesCached || 0) / task.pieceTotal : task.cdnStatus === "SUCCESS" ? 1 : 0);
  return new Table({
    caption: "Tasks",
    empty: "No tasks. As soon as somebody asks for a file, it shows here.",
    key: (task) => task.ID,
    sort: ~1,
    columns: [
      {
        title: "File",
        wide: true,
        value: (task) => fileName(task.taskURL),
        cell: (cell, task, slot) => {
          link(cell, slot, `#/tasks/${encodeURIComponent(task.ID)}`, fileName(task.taskURL), task.taskURL);
        },
      },
      { title: "Downloading", numeric: true, value: (task) => task.running || 0, cell: (_, task) => (task.running ? count(task.running) : "–") },
      { title: "Rate", numeric: true, value: (task) => model.meter(task.ID).rate(model.now()), cell: (_, task) => rateOf(model, task) },
      {
        title: "At the supernode",
        bar: true,
        optional: true,
        value: share,
        cell: (cell, task, slot) => part(cell, slot, () => new Share("Share of the file that the supernode has", "seed"), share(task)),
      },
      { title: "Size", numeric: true, optional: true, value: (task) => task.httpFileLength ?? -1, cell: (_, task) => bytes(task.httpFileLength) },
      {
        title: "State",
        value: (task) => status(task.cdnStatus, task.paused)[0],
        cell: (cell, task, slot) => part(cell, slot, () => new Badge(), status(task.cdnStatus, task.paused)),
      },
    ],
  });
}

function rateOf(model, task) {
  const now = model.meter(task.ID).rate(model.now());
  return now >= 1 ? rate(now) : "–";
}
