// All that the page knows: parts that were read from the interface, and what events changed since.
//
// Every part knows which event it contained when it was read; it takes only later ones, so parts
// may be read one after the other while events come in. Pure.

import { EventLog } from "./event_log.js";
import { Swarm } from "./swarm.js";
import { Meter, Traffic } from "./traffic.js";

export class Model {
  constructor() {
    this.log = new EventLog();
    this.traffic = new Traffic();
    this.tasks = new Map();
    this.peers = new Map();
    this.preheats = new Map();
    this.overview = null;
    /** The swarm that is looked at. */
    this.swarm = null;
    /** Number of the event that each part contained when it was read. */
    this.seqs = { overview: Infinity, tasks: Infinity, peers: Infinity, preheats: Infinity, swarm: Infinity };
    /** Milliseconds that the supernode's clock is ahead of ours. */
    this.ahead = 0;
    /** What only a new reading can tell. */
    this.stale = new Set();
    this.meters = new Map();
    /** Host names that more than one peer has, when there were so many peers. */
    this.namesakes = new Set();
    this.named = 0;
  }

  /** The supernode's present time, in ms. */
  now() {
    return Date.now() + this.ahead;
  }

  loadOverview({ seq, data }) {
    this.overview = data;
    this.ahead = Date.parse(data.time) - Date.now();
    this.traffic.load(data);
    this.begin("overview", seq);
  }

  /** What a peer is called: its host, and its port if others of that host are known. */
  nameOfPeer(id) {
    const peer = this.peers.get(id);
    if (!peer) return id;
    if (this.named !== this.peers.size) {
      const seen = new Set();
      this.namesakes.clear();
      for (const { hostName } of this.peers.values()) {
        if (seen.has(hostName)) this.namesakes.add(hostName);
        seen.add(hostName);
      }
      this.named = this.peers.size;
    }
    return this.namesakes.has(peer.hostName) ? `${peer.hostName}:${peer.port}` : peer.hostName;
  }

  loadTasks({ seq, data }) {
    this.tasks = new Map(data.map((task) => [task.ID, task]));
    this.begin("tasks", seq);
  }

  loadPeers({ seq, data }) {
    this.peers = new Map(data.map((peer) => [peer.ID, peer]));
    this.begin("peers", seq);
  }

  loadPreheats({ seq, data }) {
    this.preheats = new Map(data.map((preheat) => [preheat.ID, preheat]));
    this.begin("preheats", seq);
  }

  loadSwarm({ seq, data }) {
    const before = this.swarm;
    this.swarm = new Swarm(data);
    if (before && before.task === this.swarm.task) {
      for (const [id, client] of this.swarm.clients) {
        const known = before.clients.get(id);
        if (known) client.meter = known.meter;
      }
    }
    this.begin("swarm", seq);
  }

  forgetSwarm() {
    this.swarm = null;
    this.seqs.swarm = Infinity;
  }

  begin(part, seq) {
    this.seqs[part] = seq;
    this.stale.delete(part);
    for (const event of this.log.after(seq)) {
      if (event.type !== "gap") this.applyTo(part, event, Date.parse(event.time));
    }
  }

  /** Take events into account, in order. */
  apply(events) {
    this.log.add(events);
    for (const event of events) {
      if (event.type === "gap") {
        for (const part of Object.keys(this.seqs)) this.stale.add(part);
        continue;
      }
      const at = Date.parse(event.time);
      for (const part in this.seqs) if (event.seq > this.seqs[part]) this.applyTo(part, event, at);
    }
  }

  applyTo(part, event, at) {
    switch (part) {
      case "overview":
        this.traffic.apply(event, at);
        if (event.type.startsWith("disk.")) this.stale.add("overview");
        this.overview.leases = Math.max(0, this.overview.leases + leasesOf(event));
        break;
      case "tasks":
        this.applyToTasks(event, at);
        break;
      case "peers":
        this.applyToPeers(event);
        break;
      case "preheats":
        this.applyToPreheats(event);
        break;
      case "swarm":
        if (this.swarm && (event.task === this.swarm.task || event.type.startsWith("peer."))) {
          this.swarm.apply(event, at);
          if (this.swarm.stale) this.stale.add("swarm");
        }
    }
  }

  applyToTasks(event, at) {
    if (event.task === undefined) return;
    let task = this.tasks.get(event.task);
    if (event.type === "task.registered") {
      this.tasks.set(event.task, {
        ...task, ID: event.task, cdnStatus: "WAITING", taskURL: event.taskURL, rawURL: event.taskURL, created: event.time, piecesCached: 0, running: 0, reason: "", detail: "",
      });
      return;
    }
    if (!task) return;
    switch (event.type) {
      case "task.started":
        task.cdnStatus = "RUNNING";
        break;
      case "task.sized":
        task.httpFileLength = event.bytes;
        task.pieceSize = event.pieceSize;
        task.pieceTotal = event.bytes == null ? undefined : Math.max(1, Math.ceil(event.bytes / (event.pieceSize - 5)));
        break;
      case "task.finished":
        Object.assign(task, { cdnStatus: "SUCCESS", httpFileLength: event.bytes });
        break;
      case "task.failed":
        Object.assign(task, { cdnStatus: event.cdnStatus, reason: event.reason, detail: event.detail, running: 0 });
        break;
      case "task.paused":
      case "task.resumed":
        task.paused = event.type === "task.paused";
        break;
      case "task.pinned":
      case "task.unpinned":
        task.pinned = event.type === "task.pinned";
        break;
      case "task.removed":
        this.tasks.delete(event.task);
        this.meters.delete(event.task);
        break;
      case "piece.cached":
        task.piecesCached = (task.piecesCached || 0) + 1;
        break;
      case "piece.finished":
        if (event.lease != null) this.meter(event.task).add(at, event.bytes);
        break;
      case "download.started":
        task.running = (task.running || 0) + 1;
        break;
      case "download.finished":
      case "download.failed":
        task.running = Math.max(0, (task.running || 0) - 1);
        break;
      case "pieces.verified":
      case "pieces.lost":
        this.stale.add("tasks");
    }
  }

  /** What clients of a task are given at present. */
  meter(task) {
    if (!this.meters.has(task)) this.meters.set(task, new Meter());
    return this.meters.get(task);
  }

  applyToPeers(event) {
    if (event.type === "peer.registered") {
      const known = this.peers.get(event.peer) || { created: event.time, downloads: 0 };
      this.peers.set(event.peer, { ...known, ID: event.peer, IP: event.IP, port: event.port, hostName: event.hostName, version: event.version, lastSeen: event.time });
      return;
    }
    if (event.type === "peer.left" || event.type === "peer.expired") {
      this.peers.delete(event.peer);
      return;
    }
    const holder = event.holder && this.peers.get(event.holder);
    if (holder) applyToHolder(holder, event);
    const peer = event.peer && this.peers.get(event.peer);
    if (!peer) return;
    if (event.type === "peer.quarantined") Object.assign(peer, { quarantinedUntil: event.until, evidence: event.seen });
    else if (event.type === "peer.released") delete peer.quarantinedUntil;
    else if (event.type === "download.started") peer.downloads = (peer.downloads || 0) + 1;
    if (event.type === "peer.fell_silent") peer.silent = true;
    else {
      peer.lastSeen = event.time;
      peer.silent = false;
    }
  }

  applyToPreheats(event) {
    if (!event.type.startsWith("preheat.")) return;
    if (event.type === "preheat.removed") {
      this.preheats.delete(event.preheat);
      return;
    }
    this.stale.add("preheats");
  }
}

function applyToHolder(peer, event) {
  const given = (peer.given ??= { bytes: 0, pieces: 0, failed: 0 });
  switch (event.type) {
    case "piece.assigned":
      peer.slotsUsed = (peer.slotsUsed || 0) + 1;
      return;
    case "piece.finished":
      given.bytes += event.bytes;
      given.pieces += 1;
      peer.lastSeen = event.time;
      break;
    case "piece.failed":
      given.failed += 1;
      break;
    case "lease.fell_overdue":
    case "lease.expired":
    case "lease.released":
      break;
    default:
      return;
  }
  peer.slotsUsed = Math.max(0, (peer.slotsUsed || 0) - 1);
}

/** How many leases more there are after an event. */
function leasesOf(event) {
  switch (event.type) {
    case "piece.assigned":
      return 1;
    case "piece.finished":
      return event.lease == null ? 0 : -1;
    case "piece.failed":
    case "lease.expired":
    case "lease.released":
      return -1;
    default:
      return 0;
  }
}
