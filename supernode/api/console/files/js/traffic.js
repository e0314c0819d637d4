// Bytes by second and by where they came from, and rates of single clients. Pure.

const KEPT_SECONDS = 600;
const SOURCES = ["origin", "seed", "peers"];

/** Amounts of the last ten minutes. */
export class Traffic {
  constructor() {
    this.until = 0;
    this.total = { origin: 0, seed: 0, peers: 0 };
    this.seconds = Object.fromEntries(SOURCES.map((source) => [source, new Float64Array(KEPT_SECONDS)]));
  }

  /** Begin with what the supernode knows. */
  load({ traffic, bytesFrom }) {
    this.until = traffic.until;
    this.total = { ...bytesFrom };
    for (const source of SOURCES) {
      this.seconds[source].fill(0);
      this.seconds[source].set(traffic[source].slice(-KEPT_SECONDS), KEPT_SECONDS - Math.min(KEPT_SECONDS, traffic[source].length));
    }
  }

  /** Take what an event says into account. */
  apply(event, at) {
    const source = sourceOf(event);
    if (!source) return;
    this.turn(Math.floor(at / 1000));
    this.total[source] += event.bytes;
    const index = KEPT_SECONDS - 1 - (this.until - Math.floor(at / 1000));
    if (index >= 0) this.seconds[source][index] += event.bytes;
  }

  /** Let seconds in which nothing came pass. */
  turn(second) {
    const passed = second - this.until;
    if (passed <= 0) return;
    for (const source of SOURCES) {
      const kept = this.seconds[source];
      kept.copyWithin(0, Math.min(passed, KEPT_SECONDS));
      kept.fill(0, Math.max(0, KEPT_SECONDS - passed));
    }
    this.until = second;
  }

  /**
   * Rates of the last `span` seconds up to `now`, each the mean of the `width` seconds up to it;
   * the present second is not over and is left out.
   */
  rates(now, span, width = 5) {
    this.turn(Math.floor(now / 1000));
    const times = [];
    const rates = { origin: [], seed: [], peers: [] };
    for (let back = span; back >= 1; back -= 1) {
      const end = KEPT_SECONDS - 1 - back;
      times.push(this.until - back);
      for (const source of SOURCES) {
        let sum = 0;
        for (let index = Math.max(0, end - width + 1); index <= end; index += 1) sum += this.seconds[source][index];
        rates[source].push(sum / width);
      }
    }
    return { times, ...rates };
  }
}

/** Where the bytes of an event came from; none: it carried none. */
export function sourceOf(event) {
  if (event.type === "piece.cached") return "origin";
  if (event.type !== "piece.finished" || event.lease == null) return null;
  return event.holder === "seed" ? "seed" : "peers";
}

const WINDOW_SECONDS = 10;

/** The present rate of one end, from the last ten seconds. */
export class Meter {
  constructor() {
    this.second = 0;
    this.began = 0;
    this.amounts = new Float64Array(WINDOW_SECONDS);
  }

  add(at, bytes) {
    if (!this.began) this.began = at;
    this.turn(at);
    this.amounts[this.second % WINDOW_SECONDS] += bytes;
  }

  turn(at) {
    const second = Math.floor(at / 1000);
    const passed = Math.min(second - this.second, WINDOW_SECONDS);
    for (let step = 1; step <= passed; step += 1) this.amounts[(this.second + step) % WINDOW_SECONDS] = 0;
    if (second > this.second) this.second = second;
  }

  /** Bytes per second at `now`, in ms. */
  rate(now) {
    if (!this.began) return 0;
    this.turn(now);
    const seconds = Math.max(1, Math.min(WINDOW_SECONDS, (now - this.began) / 1000));
    return this.amounts.reduce((sum, amount) => sum + amount, 0) / seconds;
  }
}
