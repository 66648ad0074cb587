// Small charts as SVG; their colours and dashes are in page.css.
import { kMinute, parse, rain } from "/words.js";

const kSpace = "http://www.w3.org/2000/svg";

export function draw(name, attributes = {}, ...children) {
  const element = document.createElementNS(kSpace, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

export function words(x, y, text, attributes = {}) {
  return draw("text", { x, y, ...attributes }, text);
}

function canvas(box, height, label) {
  const width = Math.max(240, box.clientWidth);
  const svg = draw("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label });
  box.replaceChildren(svg);
  return { svg, width };
}

/** Times of whole steps of the clock, far enough apart for their labels. */
export function timeTicks(from, to, pixels, clock) {
  const step = [10, 15, 30, 60, 120, 180, 360, 720].find((minutes) => ((to - from) / kMinute / minutes) * 48 <= pixels) ?? 1440;
  const ticks = [];
  for (let at = Math.ceil(from / (5 * kMinute)) * 5 * kMinute; at <= to; at += 5 * kMinute) {
    if (clock.minuteOfDay(at) % step === 0) ticks.push(at);
  }
  return ticks;
}

function topOf(values) {
  const largest = Math.max(0, ...values);
  return [1, 2, 5, 10, 20, 50, 100, 200, 500].find((top) => largest <= top) ?? Math.ceil(largest / 100) * 100;
}

/** Bars of the rain at a place: an hour observed, then the forecast. `expired`: from when the forecast no longer holds. */
export function pointChart(box, { series, now, shown, expired, clock, label }) {
  const steps = series.map((step) => ({ ...step, at: parse(step.time) }));
  const newest = Math.max(...steps.filter((step) => step.kind !== "forecast").map((step) => step.at), -Infinity);
  const visible = steps.filter((step) => !Number.isFinite(newest) || step.at >= newest - 60 * kMinute);
  const height = 178, left = 30, right = 6, top = 20, bottom = 24;
  const { svg, width } = canvas(box, height, label);
  const each = Math.min(...visible.slice(1).map((step, i) => step.at - visible[i].at), 5 * kMinute);
  const from = visible[0].at - each / 2, to = visible[visible.length - 1].at + each / 2;
  const x = (at) => left + ((at - from) / (to - from)) * (width - left - right);
  const highest = topOf(visible.map((step) => step.rain_mm_h ?? 0));
  const y = (value) => height - bottom - (value / highest) * (height - top - bottom);
  const base = y(0);
  for (const value of [0, highest / 2, highest]) {
    svg.append(draw("path", { class: "grid", d: `M${left} ${y(value)}H${width - right}` }));
    svg.append(words(left - 5, y(value) + 4, value, { "text-anchor": "end" }));
  }
  svg.append(words(0, 11, "mm/h", { class: "axis" }));
  for (const at of timeTicks(from, to, width - left - right, clock)) {
    svg.append(draw("path", { class: "tick", d: `M${x(at)} ${base}v4` }));
    svg.append(words(Math.min(width - 16, x(at)), height - 6, clock.time(at), { "text-anchor": "middle" }));
  }
  const wide = Math.max(1.5, x(from + each) - x(from) - 1.5);
  for (const step of visible) {
    const middle = x(step.at) - wide / 2;
    const old = step.kind === "forecast" && step.at > expired ? " old" : "";
    if (step.rain_mm_h === null) {
      svg.append(draw("rect", { class: "gap", x: middle, y: base - 7, width: wide, height: 7 }));
    } else if (step.rain_mm_h > 0) {
      const tip = Math.min(base - 1, y(step.rain_mm_h));
      svg.append(draw("rect", { class: `bar ${step.kind}${old}`, x: middle, y: tip, width: wide, height: base - tip }));
    }
  }
  const turn = Number.isFinite(newest) ? x(newest + each / 2) : left;
  const forecast = visible.some((step) => step.kind === "forecast");
  if (turn - left > 60) svg.append(words(turn - 7, 11, "observed", { class: "observed", "text-anchor": "end" }));
  if (forecast) {
    svg.append(words(turn + 7, 11, Number.isFinite(expired) ? "old forecast" : "forecast", { class: Number.isFinite(expired) ? "old" : "forecast" }));
  }
  if (now >= from && now <= to) {
    svg.append(draw("path", { class: "now", d: `M${x(now)} ${top - 6}V${base}` }));
    svg.append(words(x(now) + 4, top + 5, "now", { class: "now" }));
  }
  if (shown >= from && shown <= to) svg.append(draw("path", { class: "shown", d: `M${x(shown)} ${base + 1}l5 8h-10z` }));
  return { steps: visible, text: nearest(visible, shown, clock) };
}

function nearest(steps, shown, clock) {
  const step = steps.find((candidate) => candidate.at === shown);
  if (!step) return "";
  return `On the map, ${clock.time(step.at)}: ${rain(step.rain_mm_h)}${step.rain_mm_h === null ? "" : " mm/h"}.`;
}

const kMarks = {
  circle: (x, y) => `M${x - 3} ${y}a3 3 0 1 0 6 0a3 3 0 1 0 -6 0z`,
  square: (x, y) => `M${x - 2.7} ${y - 2.7}h5.4v5.4h-5.4z`,
  triangle: (x, y) => `M${x} ${y - 3.6}l3.6 6.4h-7.2z`,
  diamond: (x, y) => `M${x} ${y - 3.8}l3.4 3.8l-3.4 3.8l-3.4-3.8z`,
};
const kMarkOf = { issued: "circle", advection: "square", persistence: "triangle", other: "diamond" };

/** Lines of CSI against lead: [{name, style, points: [{lead, csi}]}]. */
export function skillChart(box, lines, label) {
  const height = 170, left = 30, right = 8, top = 20, bottom = 24;
  const { svg, width } = canvas(box, height, label);
  const leads = lines.flatMap((line) => line.points.map((point) => point.lead));
  const last = Math.max(...leads), first = Math.min(...leads, last - 1);
  const x = (value) => left + 4 + ((value - first) / (last - first)) * (width - left - right - 8);
  const y = (value) => height - bottom - value * (height - top - bottom);
  for (const value of [0, 0.25, 0.5, 0.75, 1]) {
    svg.append(draw("path", { class: "grid", d: `M${left} ${y(value)}H${width - right}` }));
    if (value * 2 === Math.round(value * 2)) svg.append(words(left - 5, y(value) + 4, value, { "text-anchor": "end" }));
  }
  svg.append(words(0, 11, "CSI (1 is perfect)", { class: "axis" }));
  const step = [5, 10, 15, 30, 60].find((minutes) => (last - first) / minutes <= 6) ?? 120;
  for (let at = Math.ceil(first / step) * step; at <= last; at += step) {
    svg.append(words(Math.min(x(at), width - 22), height - 6, at === Math.ceil(first / step) * step ? `${at} min` : at, { "text-anchor": "middle" }));
  }
  for (const line of [...lines].reverse()) {
    const points = line.points.map((point) => `${x(point.lead).toFixed(1)} ${y(point.csi).toFixed(1)}`);
    svg.append(draw("path", { class: `line ${line.style}`, d: `M${points.join("L")}` }));
    const every = Math.ceil(line.points.length / 8);
    line.points.forEach((point, i) => {
      if (i % every === 0) svg.append(draw("path", { class: `mark ${line.style}`, d: kMarks[kMarkOf[line.style]](x(point.lead), y(point.csi)) }));
    });
  }
}

/** The line's own look, for a legend. */
export function lineSample(style) {
  return draw("svg", { width: 26, height: 12, "aria-hidden": "true" }, draw("path", { class: `line ${style}`, d: "M1 6H25" }),
    draw("path", { class: `mark ${style}`, d: kMarks[kMarkOf[style]](13, 6) }));
}
