// The time slider: past to the left, "now" marked, forecast to the right; and playing it.
import { draw, timeTicks, words } from "/chart.js";
import { kKinds, lead } from "/words.js";

const kThumb = 18;  // pixels, as in page.css: the slider's ends lie half a thumb inside
const kHold = 3;    // the last frame stays as long as so many others

export class Timeline {
  /** `onShow(frame)` is called whenever another frame is to be seen. */
  constructor({ slider, drawing, play }, onShow) {
    Object.assign(this, { slider, drawing, play, onShow });
    this.frames = [];
    this.index = -1;
    this.rate = 5;  // frames a second
    this.timer = 0;
    slider.addEventListener("input", () => this.slide());
    play.addEventListener("click", () => this.toggle());
    new ResizeObserver(() => this.redraw()).observe(drawing);
  }

  get frame() {
    return this.frames[this.index];
  }
  get playing() {
    return this.timer !== 0;
  }
  /** The newest observed frame, or the first of all. */
  newest() {
    return Math.max(0, this.frames.map((frame) => frame.kind !== "forecast").lastIndexOf(true));
  }

  /** Frames by time; the place is kept by time, and at the newest observed frame it stays the newest. */
  setFrames(frames) {
    const before = this.frame, live = !before || this.index === this.newest();
    this.frames = frames;
    const first = frames[0].at, last = frames[frames.length - 1].at;
    this.slider.max = String((last - first) / 1000);
    this.slider.step = String(Math.min(...frames.slice(1).map((frame, i) => frame.at - frames[i].at), 3600000) / 1000);
    this.slider.disabled = false;
    this.show(live ? this.newest() : this.nearest(before.at));
  }

  nearest(at) {
    let best = 0;
    this.frames.forEach((frame, i) => {
      if (Math.abs(frame.at - at) < Math.abs(this.frames[best].at - at)) best = i;
    });
    return best;
  }

  show(index) {
    if (this.frames.length === 0) return;
    this.index = Math.min(this.frames.length - 1, Math.max(0, index));
    this.slider.value = String((this.frame.at - this.frames[0].at) / 1000);
    this.onShow(this.frame);
  }

  /** To the frame nearest to the slider; across a gap of missing frames in the direction that was meant. */
  slide() {
    this.pause();
    const at = this.frames[0].at + 1000 * Number(this.slider.value), before = this.frame.at;
    const index = this.nearest(at);
    this.show(index === this.index && at !== before ? index + Math.sign(at - before) : index);
  }

  toggle() {
    this.playing ? this.pause() : this.start();
  }
  start() {
    if (this.frames.length < 2) return;
    this.mark(true);
    const step = () => {
      const next = (this.index + 1) % this.frames.length;
      if (this.frames[next].loaded) this.show(next);  // a frame that is not there yet is waited for
      const last = this.index === this.frames.length - 1;
      this.timer = setTimeout(step, (last ? kHold : 1) * 1000 / this.rate);
    };
    this.timer = setTimeout(step, 0);
  }
  pause() {
    clearTimeout(this.timer);
    this.timer = 0;
    this.mark(false);
  }
  mark(playing) {
    this.play.setAttribute("aria-pressed", String(playing));
    this.play.setAttribute("aria-label", playing ? "Pause" : "Play");
  }

  /** "14:20, forecast, +35 min", for those who hear the slider. */
  say(clock, expired) {
    if (!this.frame) return;
    const { at, kind, leadMinutes } = this.frame;
    const old = kind === "forecast" && at > expired ? "old " : "";
    this.slider.setAttribute("aria-valuetext", `${clock.time(at)}, ${old}${kKinds[kind].toLowerCase()}${kind === "forecast" ? `, ${lead(leadMinutes)}` : ""}`);
  }

  /** `expired`: from when the forecast no longer holds. */
  redraw(state = this.drawn) {
    this.drawn = state;
    const width = this.drawing.clientWidth, frames = this.frames;
    if (!state || frames.length < 2 || width < 40) return;
    const { now, expired, clock } = state;
    const first = frames[0].at, last = frames[frames.length - 1].at;
    const x = (at) => kThumb / 2 + ((at - first) / (last - first)) * (width - kThumb);
    const each = Math.min(...frames.slice(1).map((frame, i) => frame.at - frames[i].at));
    const wide = Math.max(1.5, x(first + each) - x(first) - 1.5);
    const parts = frames.map((frame) => {
      const old = frame.kind === "forecast" && frame.at > expired ? " old" : "";
      return draw("rect", { class: `step ${frame.kind}${old}${frame.loaded ? "" : " awaited"}`, x: x(frame.at) - wide / 2, y: 20, width: wide, height: 8 });
    });
    for (const at of timeTicks(first, last, width - kThumb, clock)) {
      const anchor = x(at) < 20 ? "start" : x(at) > width - 20 ? "end" : "middle";
      parts.push(draw("path", { class: "tick", d: `M${x(at)} 29v4` }), words(anchor === "start" ? 0 : anchor === "end" ? width : x(at), 46, clock.time(at), { "text-anchor": anchor }));
    }
    if (now >= first && now <= last) {
      parts.push(draw("path", { class: "now", d: `M${x(now)} 12V32` }), words(x(now), 9, "now", { class: "now", "text-anchor": "middle" }));
    }
    this.drawing.replaceChildren(...parts);
  }
}
