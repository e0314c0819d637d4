// One task's swarm: who has which pieces, who is being given which by whom. Pure.
//
// Made of a snapshot, changed by events. `rewind` undoes an event, for the replay: as far as the
// event tells what was before it.

import { unpack } from "./bitset.js";
import { Meter } from "./traffic.js";

export const SEED = "seed";

export class Swarm {
  /** @param snapshot the answer of /tasks/{id}/swarm. */
  constructor(snapshot) {
    this.task = snapshot.taskID;
    this.status = snapshot.cdnStatus;
    this.paused = Boolean(snapshot.paused);
    this.length = snapshot.httpFileLength ?? null;
    this.pieceSize = snapshot.pieceSize ?? null;
    this.total = snapshot.pieceTotal ?? 0;
    this.clientsTotal = snapshot.clientsTotal;
    this.clients = new Map();
    this.leases = new Map();
    /** Per piece: how many leases of it are open. */
    this.underWay = new Uint16Array(this.total);
    this.seeded = new Uint8Array(this.total);
    this.seededCount = unpack(snapshot.pieces, this.seeded);
    this.copies = new Uint16Array(this.total);
    this.copies.set(snapshot.copies.slice(0, this.total));
    /** Whether only a new snapshot can tell how it is. */
    this.stale = false;
    for (const client of snapshot.clients) this.addClient(client);
    for (const lease of snapshot.leases) this.addLease({ lease: lease.lease, client: lease.cID, piece: lease.piece, holder: lease.holder }, Date.parse(lease.began), lease.overdue);
  }

  addClient({ cID, peerID = "", status = "RUNNING", started, pieces = "", fromSeed = 0, fromPeers = 0, rate = null }) {
    const have = new Uint8Array(this.total);
    const client = {
      id: cID, peer: peerID, status, started: Date.parse(started), have, count: unpack(pieces, have), fromSeed, fromPeers, known: rate, meter: new Meter(), given: new Meter(), leases: 0,
    };
    this.clients.set(cID, client);
    return client;
  }

  addLease({ lease, client, piece, holder }, began, overdue = false) {
    if (this.leases.has(lease)) return;
    this.leases.set(lease, { client, piece, holder, began, overdue });
    if (piece < this.total) this.underWay[piece] += 1;
    const taker = this.clients.get(client);
    if (taker) taker.leases += 1;
  }

  endLease(id) {
    const lease = this.leases.get(id);
    if (!lease) return;
    this.leases.delete(id);
    if (lease.piece < this.total && this.underWay[lease.piece]) this.underWay[lease.piece] -= 1;
    const taker = this.clients.get(lease.client);
    if (taker && taker.leases) taker.leases -= 1;
  }

  client(event, at) {
    return this.clients.get(event.client) || this.addClient({ cID: event.client, started: new Date(at).toISOString() });
  }

  /** Change as an event says. */
  apply(event, at) {
    const rule = RULES[event.type];
    if (rule) rule(this, event, at);
  }

  /** Be as before an event. */
  rewind(event, at) {
    const rule = UNDONE[event.type];
    if (rule) rule(this, event, at);
  }

  /** Share of all bytes that the clients want which they have. */
  get progress() {
    let have = 0;
    for (const client of this.clients.values()) have += client.count;
    return this.total && this.clients.size ? have / (this.total * this.clients.size) : 0;
  }

  get running() {
    let running = 0;
    for (const client of this.clients.values()) running += client.status === "RUNNING";
    return running;
  }
}

function take(swarm, event, at) {
  if (event.lease != null) swarm.endLease(event.lease);
  const client = swarm.client(event, at);
  if (event.piece < swarm.total && !client.have[event.piece]) {
    client.have[event.piece] = 1;
    client.count += 1;
    if (client.peer) swarm.copies[event.piece] += 1;
  }
  if (event.lease == null) return;
  client.meter.add(at, event.bytes);
  if (event.holder === SEED) client.fromSeed += event.bytes;
  else client.fromPeers += event.bytes;
}

function give(swarm, event, at) {
  const client = swarm.clients.get(event.client);
  if (client && client.have[event.piece]) {
    client.have[event.piece] = 0;
    client.count -= 1;
    if (client.peer && swarm.copies[event.piece]) swarm.copies[event.piece] -= 1;
  }
  if (event.lease == null || !client) return;
  if (event.holder === SEED) client.fromSeed -= event.bytes;
  else client.fromPeers -= event.bytes;
  swarm.addLease(event, at - 1000 * (event.seconds || 0));
}

function endLease(swarm, event) {
  swarm.endLease(event.lease);
}

function reopenLease(swarm, event, at) {
  swarm.addLease(event, at);
}

function setStatus(status) {
  return (swarm, event) => {
    const client = swarm.clients.get(event.client);
    if (client) client.status = status;
  };
}

/** Nobody is offered what a client has any longer. */
function withdraw(swarm, client) {
  if (!client || !client.peer) return;
  client.peer = "";
  for (let piece = 0; piece < swarm.total; piece += 1) {
    if (client.have[piece] && swarm.copies[piece]) swarm.copies[piece] -= 1;
  }
}

function peerGone(swarm, event) {
  for (const client of swarm.clients.values()) if (client.peer === event.peer) withdraw(swarm, client);
}

function becomeStale(swarm) {
  swarm.stale = true;
}

const RULES = {
  "piece.cached": (swarm, event) => {
    if (event.piece >= swarm.total) {
      swarm.stale = true; // the length was not known
    } else if (!swarm.seeded[event.piece]) {
      swarm.seeded[event.piece] = 1;
      swarm.seededCount += 1;
    }
  },
  "piece.assigned": (swarm, event, at) => swarm.addLease(event, at),
  "piece.finished": take,
  "piece.failed": endLease,
  "lease.expired": endLease,
  "lease.released": endLease,
  "lease.fell_overdue": (swarm, event) => {
    const lease = swarm.leases.get(event.lease);
    if (lease) lease.overdue = true;
  },
  "download.started": (swarm, event, at) => {
    if (swarm.clients.has(event.client)) {
      swarm.stale = true;
      return;
    }
    swarm.addClient({ cID: event.client, peerID: event.peer || "", started: new Date(at).toISOString() });
    swarm.clientsTotal += 1;
  },
  "download.finished": setStatus("SUCCESS"),
  "download.failed": setStatus("FAILED"),
  "download.withdrawn": (swarm, event) => withdraw(swarm, swarm.clients.get(event.client)),
  "download.forgotten": (swarm, event) => {
    withdraw(swarm, swarm.clients.get(event.client));
    if (swarm.clients.delete(event.client)) swarm.clientsTotal -= 1;
  },
  "peer.left": peerGone,
  "peer.expired": peerGone,
  "pieces.held": becomeStale,
  "claim.made": becomeStale,
  "claim.confirmed": becomeStale,
  "pieces.listed": becomeStale,
  "pieces.verified": becomeStale,
  "pieces.lost": becomeStale,
  "peer.quarantined": becomeStale,
  "peer.released": becomeStale,
  "task.registered": becomeStale,
  "task.sized": becomeStale,
  "task.failed": becomeStale,
  "task.started": (swarm) => {
    swarm.status = "RUNNING";
  },
  "task.finished": (swarm) => {
    swarm.status = "SUCCESS";
  },
  "task.paused": (swarm) => {
    swarm.paused = true;
  },
  "task.resumed": (swarm) => {
    swarm.paused = false;
  },
};

const UNDONE = {
  "piece.cached": (swarm, event) => {
    if (swarm.seeded[event.piece]) {
      swarm.seeded[event.piece] = 0;
      swarm.seededCount -= 1;
    }
  },
  "piece.assigned": endLease,
  "piece.finished": give,
  "piece.failed": reopenLease,
  "lease.expired": reopenLease,
  "lease.released": reopenLease,
  "lease.fell_overdue": (swarm, event) => {
    const lease = swarm.leases.get(event.lease);
    if (lease) lease.overdue = false;
  },
  "download.started": (swarm, event) => {
    const client = swarm.clients.get(event.client);
    if (client && !client.count) swarm.clients.delete(event.client);
  },
  "download.finished": setStatus("RUNNING"),
  "download.failed": setStatus("RUNNING"),
  "task.started": (swarm) => {
    swarm.status = "WAITING";
  },
  "task.finished": (swarm) => {
    swarm.status = "RUNNING";
  },
  "task.paused": (swarm) => {
    swarm.paused = false;
  },
  "task.resumed": (swarm) => {
    swarm.paused = true;
  },
};
