// A table that is sorted by its headings, shown by the page, and changed cell by cell.

import { el, mark, say } from "./dom.js";
import { count } from "./format.js";

export class Table {
  /**
   * @param caption what it lists.
   * @param columns each with `title`, `cell(td, row, slot)`, which fills a cell (or returns its
   *   text); perhaps `value(row)`, to sort by; `wide`, `bar`, `numeric`, `optional` (left out on a phone).
   * @param key what tells rows apart.
   * @param sort index of the column to sort by, negative numbers for the greatest first: ~index.
   */
  constructor({ caption, columns, key, sort = 0, perPage = 20, empty = "Nothing here." }) {
    Object.assign(this, { columns, key, perPage, sort });
    this.rows = [];
    this.page = 0;
    this.shown = new Map();
    this.body = el("tbody");
    this.headings = columns.map((column, index) => this.heading(column, index));
    this.table = el("table", {}, el("caption", {}, caption), el("thead", {}, el("tr", {}, ...this.headings)), this.body);
    this.empty = el("p.empty", {}, empty);
    this.range = el("span", { "aria-live": "polite" });
    this.back = el("button", { type: "button", onclick: () => this.turn(-1) }, "Previous");
    this.next = el("button", { type: "button", onclick: () => this.turn(1) }, "Next");
    this.pager = el("nav.pager", { "aria-label": `Pages: ${caption}` }, this.range, this.back, this.next);
    this.element = el("div.table", {}, el("div.scroll", { tabindex: 0, role: "group", "aria-label": caption }, this.table), this.empty, this.pager);
  }

  heading(column, index) {
    const button = column.value
      ? el("button", { type: "button", onclick: () => this.sortBy(index, column) }, column.title)
      : column.title;
    return el("th", { scope: "col", class: classes(column) || null }, button);
  }

  sortBy(index, column) {
    if (this.sort === index) this.sort = ~index;
    else if (this.sort === ~index) this.sort = index;
    else this.sort = column.numeric ? ~index : index;
    this.page = 0;
    this.show(this.rows);
  }

  turn(by) {
    this.page += by;
    this.show(this.rows);
  }

  /** Show these, as many as a page has. */
  show(rows) {
    this.rows = rows;
    const down = this.sort < 0;
    const { value } = this.columns[down ? ~this.sort : this.sort];
    const sorted = value ? [...rows].sort(comparing(value, down, this.key)) : rows;
    const last = Math.max(0, Math.ceil(sorted.length / this.perPage) - 1);
    this.page = Math.max(0, Math.min(this.page, last));
    const start = this.page * this.perPage;
    this.fill(sorted.slice(start, start + this.perPage));
    this.headings.forEach((heading, index) => {
      const order = this.sort === index ? "ascending" : this.sort === ~index ? "descending" : null;
      mark(heading, "aria-sort", order);
    });
    this.empty.hidden = rows.length > 0;
    this.element.firstChild.hidden = !rows.length;
    this.pager.hidden = last === 0;
    say(this.range, `${count(start + 1)}–${count(Math.min(start + this.perPage, sorted.length))} of ${count(sorted.length)}`);
    this.back.disabled = this.page === 0;
    this.next.disabled = this.page === last;
  }

  fill(rows) {
    const shown = new Map();
    let place = this.body.firstChild;
    for (const row of rows) {
      const id = this.key(row);
      const line = this.shown.get(id) || this.line();
      shown.set(id, line);
      line.cells.forEach((cell, index) => {
        const text = this.columns[index].cell(cell, row, line.slots[index]);
        if (text !== undefined) say(cell, text);
      });
      if (line.element === place) place = place.nextSibling;
      else this.body.insertBefore(line.element, place);
    }
    for (const [id, line] of this.shown) if (!shown.has(id)) line.element.remove();
    this.shown = shown;
  }

  line() {
    const cells = this.columns.map((column) => el(column.wide ? "th" : "td", { class: classes(column) || null, scope: column.wide ? "row" : null }));
    return { cells, slots: cells.map(() => ({})), element: el("tr", {}, ...cells) };
  }
}

function classes(column) {
  return [column.numeric && "number", column.optional && "optional", column.wide && "wide", column.bar && "bar-column"].filter(Boolean).join(" ");
}

function comparing(value, down, key) {
  const sign = down ? -1 : 1;
  return (one, other) => {
    const [first, second] = [value(one), value(other)];
    if (first === second) return key(one) < key(other) ? -1 : 1;
    if (first == null || second == null) return first == null ? 1 : -1;
    return first < second ? -sign : sign;
  };
}

/** Fill a cell with a link; `slot` keeps it. */
export function link(cell, slot, href, text, title) {
  if (!slot.link) {
    slot.link = el("a");
    cell.replaceChildren(slot.link);
  }
  mark(slot.link, "href", href);
  mark(slot.link, "title", title);
  say(slot.link, text);
}

/** Fill a cell with a part that is made once, and set it; `slot` keeps it. */
export function part(cell, slot, make, value) {
  if (!slot.part) {
    slot.part = make();
    cell.replaceChildren(slot.part.element);
  }
  slot.part.set(value);
}
