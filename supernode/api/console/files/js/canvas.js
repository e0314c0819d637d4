// A canvas that is as wide as its place, and sharp on every screen.

import { onChange } from "./colours.js";
import { el } from "./dom.js";

export class Canvas {
  /**
   * @param label what it shows, for those who cannot see it.
   * @param changed called when it must be drawn anew: it has another width or other colours.
   */
  constructor(label, changed) {
    this.element = el("canvas", { role: "img", "aria-label": label });
    this.context = this.element.getContext("2d");
    this.width = 0;
    this.height = 0;
    this.changed = changed;
    this.observer = new ResizeObserver(() => changed());
    this.forget = onChange(changed);
  }

  /** Watch the element that holds it. */
  within(place) {
    this.place = place;
    place.append(this.element);
    this.observer.observe(place);
    return this;
  }

  /** The width there is, in CSS pixels. */
  get room() {
    return Math.max(1, Math.floor(this.place.clientWidth));
  }

  /** Be of this size, empty; return the context, in CSS pixels. */
  clear(width, height) {
    const ratio = devicePixelRatio || 1;
    const [columns, rows] = [Math.round(width * ratio), Math.round(height * ratio)];
    if (this.element.width !== columns || this.element.height !== rows) {
      this.element.width = columns;
      this.element.height = rows;
      this.element.style.width = `${width}px`;
      this.element.style.height = `${height}px`;
    }
    this.width = width;
    this.height = height;
    this.context.setTransform(ratio, 0, 0, ratio, 0, 0);
    this.context.clearRect(0, 0, width, height);
    return this.context;
  }

  close() {
    this.observer.disconnect();
    this.forget();
  }
}
