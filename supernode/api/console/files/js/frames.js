// Draws what has changed, a bounded number of times a second, and only while somebody can see it.

const SHORTEST_MS = 100;

export class Frames {
  /** @param draw called with the time in ms; at most ten times a second. */
  constructor(draw) {
    this.draw = draw;
    this.wanted = false;
    this.last = -Infinity;
    /** Milliseconds that drawing took, for those who measure. */
    this.costs = [];
    this.step = (at) => this.onFrame(at);
    document.addEventListener("visibilitychange", () => this.want());
  }

  /** Have it drawn soon. */
  want() {
    if (this.wanted) return;
    this.wanted = true;
    requestAnimationFrame(this.step);
  }

  onFrame(at) {
    if (at - this.last < SHORTEST_MS) {
      requestAnimationFrame(this.step);
      return;
    }
    this.wanted = false;
    this.last = at;
    const began = performance.now();
    this.draw(at);
    this.costs.push(performance.now() - began);
    if (this.costs.length > 1000) this.costs.splice(0, 500);
  }
}
