// Bytes per second by where they come from, over the last minutes. Drawn by uPlot.

import { colours, onChange } from "./colours.js";
import { el } from "./dom.js";
import { clock, rate } from "./format.js";

const LONGEST_SPAN = 300;
const SHORTEST_SPAN = 60;
const HEIGHT = 220;

export class RateChart {
  constructor() {
    this.element = el("div.chart", { role: "img", "aria-label": "Bytes per second" });
    this.plot = null;
    this.second = 0;
    this.observer = new ResizeObserver(() => this.resize());
    this.observer.observe(this.element);
    this.forget = onChange(() => this.plot && this.plot.redraw(false));
  }

  /** Show the rates from `began` up to `now`, in ms; at most once a second. */
  draw(traffic, began, now) {
    const second = Math.floor(now / 1000);
    if (second === this.second || !this.element.clientWidth) return;
    this.second = second;
    const { times, origin, seed, peers } = traffic.rates(now, Math.max(SHORTEST_SPAN, Math.min(LONGEST_SPAN, second - Math.floor(began / 1000))));
    const data = [times, origin, seed, peers];
    if (this.plot) this.plot.setData(data);
    else this.plot = new uPlot(this.options(), data, this.element);
    if (second % 5 === 0 || !this.said) {
      this.said = true;
      const last = (values) => rate(values[values.length - 1]);
      this.element.setAttribute("aria-label", `Bytes per second over the last minutes; now ${last(origin)} from origins, ${last(seed)} from the supernode, ${last(peers)} from peers`);
    }
  }

  options() {
    const stroke = (name) => () => colours()[name];
    const fill = (name) => () => `${colours()[name]}1c`;
    const line = (label, name) => ({ label, stroke: stroke(name), fill: fill(name), width: 1.75, points: { show: false }, value: (_, value) => rate(value) });
    const axis = { stroke: stroke("quiet"), font: "11px system-ui, sans-serif", grid: { stroke: stroke("line"), width: 1 }, ticks: { show: false } };
    return {
      width: this.element.clientWidth,
      height: HEIGHT,
      legend: { show: false },
      cursor: { drag: { x: false, y: false }, points: { size: 6 } },
      padding: [8, 6, 0, 0],
      scales: { x: { time: true }, y: { range: (_, __, high) => [0, Math.max(high * 1.1, 1024)] } },
      axes: [
        { ...axis, space: 70, size: 26, values: (_, ticks) => ticks.map((tick) => clock(tick * 1000).slice(0, 8)), grid: { show: false } },
        { ...axis, size: 76, splits: (_, __, ___, high) => splits(high), values: (_, ticks) => ticks.map((tick) => rate(tick)) },
      ],
      series: [{}, line("origins", "origin"), line("supernode", "seed"), line("peers", "peers")],
    };
  }

  resize() {
    if (this.plot && this.element.clientWidth) this.plot.setSize({ width: this.element.clientWidth, height: HEIGHT });
  }

  close() {
    this.observer.disconnect();
    this.forget();
    if (this.plot) this.plot.destroy();
  }
}

/** Round numbers of bytes from 0 up to `high`, four steps or so. */
function splits(high) {
  const step = high / 4;
  const unit = 1024 ** Math.floor(Math.log(Math.max(step, 1)) / Math.log(1024));
  const nice = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1024].find((times) => times * unit >= step) * unit;
  const found = [];
  for (let tick = 0; tick <= high; tick += nice) found.push(tick);
  return found;
}
