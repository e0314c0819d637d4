// Elements without markup: made by name, and touched only where something changes.

import { percent } from "./format.js";

/** Make an element: attributes by name, `on…` listeners, then children: nodes or text. */
export function el(name, attributes = {}, ...children) {
  const [tag, ...classes] = name.split(".");
  const element = document.createElement(tag || "div");
  if (classes.length) element.className = classes.join(" ");
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (value === true) element.setAttribute(key, "");
    else if (value !== false && value != null) element.setAttribute(key, value);
  }
  element.append(...children.filter((child) => child != null));
  return element;
}

/** Set the text of an element, if it is another one. */
export function say(element, text) {
  if (element.textContent !== String(text)) element.textContent = text;
}

/** Set an attribute, or take it away, if it is another one. */
export function mark(element, name, value) {
  if (value == null || value === false) {
    if (element.hasAttribute(name)) element.removeAttribute(name);
  } else if (element.getAttribute(name) !== String(value)) {
    element.setAttribute(name, value);
  }
}

/** A bar that shows a share, and says it. */
export class Bar {
  constructor(label, tone = "") {
    this.fill = el("i");
    this.element = el(`span.meter${tone ? `.${tone}` : ""}`, { role: "meter", "aria-label": label, "aria-valuemin": 0, "aria-valuemax": 100 }, this.fill);
  }

  /** @param share from 0 to 1. */
  set(share) {
    const percent = Math.max(0, Math.min(100, (share || 0) * 100));
    const width = `${percent.toFixed(1)}%`;
    if (this.fill.style.width !== width) this.fill.style.width = width;
    mark(this.element, "aria-valuenow", Math.floor(percent));
  }
}

/** A bar, and the same in numbers. */
export class Share {
  constructor(label, tone) {
    this.bar = new Bar(label, tone);
    this.text = el("span.number");
    this.element = el("span.share", {}, this.bar.element, this.text);
  }

  set(share) {
    this.bar.set(share);
    say(this.text, percent(share));
  }
}

/** A word in a tone: how far something is. */
export class Badge {
  constructor() {
    this.element = el("span.badge");
  }

  set([text, tone]) {
    say(this.element, text);
    mark(this.element, "data-tone", tone);
  }
}

/** A number with its name. */
export class Figure {
  constructor(name, { tone = "", hint = "" } = {}) {
    this.value = el("dd");
    this.note = el("dd.note");
    this.element = el("div.figure", { "data-tone": tone || null, title: hint || null }, el("dt", {}, name), this.value, this.note);
  }

  set(value, note = "") {
    say(this.value, value);
    say(this.note, note);
  }
}
