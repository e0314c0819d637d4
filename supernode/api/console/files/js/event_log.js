// The last events, in a ring: one place for the log, for late snapshots and for the replay. Pure.

const MOST_KEPT = 20000;

export class EventLog {
  constructor(most = MOST_KEPT) {
    this.most = most;
    this.events = [];
    /** How many have come, kept or not. */
    this.seen = 0;
  }

  add(events) {
    for (const event of events) this.events.push(event);
    this.seen += events.length;
    if (this.events.length > this.most * 1.25) this.events.splice(0, this.events.length - this.most);
  }

  /** Events with greater numbers than `seq`, in order. */
  after(seq) {
    let low = 0;
    let high = this.events.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (numberOf(this.events[middle]) <= seq) low = middle + 1;
      else high = middle;
    }
    return this.events.slice(low);
  }

  /** The last events, newest first, that are wanted; looks at all that are kept, no further. */
  newest(most, wanted) {
    const found = [];
    for (let index = this.events.length - 1; index >= 0 && found.length < most; index -= 1) {
      if (wanted(this.events[index])) found.push(this.events[index]);
    }
    return found;
  }
}

function numberOf(event) {
  return event.type === "gap" ? event.to : event.seq;
}
