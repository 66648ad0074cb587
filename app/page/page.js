// The page: asks the service every few seconds, and shows what it said.
import { lineSample, pointChart, skillChart } from "/chart.js";
import { RainMap } from "/map.js";
import { Timeline } from "/timeline.js";
import { Clock, age, kKinds, kMinute, lead, parse, place, rain, rainSentence } from "/words.js";

const kEvery = 5000, kEveryInReplay = 1000, kLongest = 60000;  // milliseconds between questions; the last when nobody answers
const kPatience = 8000;                 // for an answer
const kSkillEvery = 60000;
const kTogether = 4;                    // images under way at a time
const kServiceClock = "Service clock";
const kWords = {
  OK: "OK", DEGRADED: "Degraded", WITHHELD: "Withheld", STALE: "Stale", UNREACHABLE: "No word", WAITING: "Waiting",
};

const byId = (id) => document.getElementById(id);
const say = (id, text) => {
  if (byId(id).textContent !== text) byId(id).textContent = text;
};
const reveal = (id, visible) => byId(id).toggleAttribute("hidden", !visible);

/** What the user chose, kept from visit to visit where the browser lets us. */
const settings = { clock: "local", theme: "auto", opacity: 85, rate: 5, threshold: 1, view: null, point: null };
try {
  Object.assign(settings, JSON.parse(localStorage.getItem("raincell") ?? "{}"));
} catch { /* private windows have no store: this visit's choices end with it */ }
function keep(change) {
  Object.assign(settings, change);
  try {
    localStorage.setItem("raincell", JSON.stringify(settings));
  } catch { /* as above */ }
}

let clock = new Clock(settings.clock);
let latest = null;     // the service's last word
let heard = NaN;       // performance.now() of it
let failures = 0;      // questions in a row without an answer
let shownMap = null;   // /api/map as it is drawn
let point = null;      // /api/point of the chosen place
let skill = null;
let skillAsked = -kSkillEvery;

/** The service's clock. That of a replay runs faster while the service waits, and is asked more often. */
function now() {
  return latest ? parse(latest.now) + (performance.now() - heard) : NaN;
}
const outlines = fetch("/outlines.json").then((answer) => answer.json());  // drawn below the first frame of rain, not before it
outlines.catch(() => {});
const unreachable = () => failures > 1 || (failures > 0 && !latest);
/** From when the forecast on the map no longer holds; NaN while it does. */
function expired() {
  const word = shownMap?.latest ?? latest, until = parse(word?.valid_until ?? word?.nominal);
  const over = latest?.status === "WITHHELD" || latest?.status === "STALE" || now() > until;
  return over ? until : NaN;
}
function status() {
  if (unreachable()) return "UNREACHABLE";
  if (!latest) return "WAITING";
  const fresh = latest.status === "OK" || latest.status === "DEGRADED";
  return fresh && Number.isFinite(expired()) ? "STALE" : latest.status;
}

const map = new RainMap(byId("map"), {
  still: matchMedia("(prefers-reduced-motion: reduce)").matches,
  onPick: (latitude, longitude) => ask({ latitude, longitude }),
  onLetGo: letGo,
  onMove: (view) => map?.ready && keep({ view }),
});
const timeline = new Timeline({ slider: byId("slider"), drawing: byId("track-drawing"), play: byId("play") }, showFrame);

// ---- the service ----

async function get(address) {
  const answer = await fetch(address, { cache: "no-store", signal: AbortSignal.timeout(kPatience) });
  if (!answer.ok) throw new Error(`${address}: ${answer.status}`);
  return answer.json();
}

async function poll() {
  try {
    latest = await get("/api/latest");
    heard = performance.now();
    failures = 0;
  } catch {
    failures += 1;
  }
  showStatus();
  if (failures === 0) await refresh();
  const every = latest?.speed > 1 ? kEveryInReplay : kEvery;
  setTimeout(poll, failures === 0 ? every : Math.min(kLongest, (kEvery / 2) * 2 ** (failures - 1)));
}
/** What hangs on the last word; what does not come now is asked for again at the next one. */
async function refresh() {
  const isNew = latest.nominal && version(latest) !== shownMap?.version;
  try {
    if (isNew) await loadMap();
    if (isNew || performance.now() - skillAsked >= kSkillEvery) await loadSkill();
  } catch (error) {
    console.warn(String(error));
  }
  showStatus();
}
const version = (word) => `${word.nominal} ${word.revision} ${word.product}`;

async function loadMap() {
  const next = await get("/api/map");
  shownMap = { ...next, version: version(latest) };
  map.setArea(next.bounds, settings.view);
  const frames = next.frames.map((frame) => ({
    at: parse(frame.time), kind: frame.kind, leadMinutes: frame.lead_minutes, image: frame.image, loaded: map.layers.has(frame.image),
  }));
  map.keepFrames(new Set(frames.map((frame) => frame.image)));
  showLegend();
  byId("play").disabled = byId("latest").disabled = frames.length === 0;
  if (frames.length > 0) timeline.setFrames(frames);
  loadImages(frames);
  if (settings.point) ask(settings.point);
}

/** The frame that is looked at first, then the others outwards from it. */
async function loadImages(frames) {
  const start = timeline.index;
  const order = frames.filter((frame) => !frame.loaded).sort((a, b) => Math.abs(frames.indexOf(a) - start) - Math.abs(frames.indexOf(b) - start));
  const loadOne = async (frame) => {
    if (timeline.frames !== frames) return;  // a newer map has come
    try {
      await map.load(frame.image);
    } catch {
      return;  // gone from the service meanwhile, or no answer: the next map brings another
    }
    frame.loaded = true;
    if (timeline.frame === frame) showFrame(frame);
    timeline.redraw();
    if (!document.documentElement.dataset.view) performance.mark("first-view");
    document.documentElement.dataset.view ||= "first";
  };
  if (order.length > 0) await loadOne(order.shift());
  outlines.then((lines) => map.setOutlines(lines)).catch(() => {});  // without them the graticule stays
  await Promise.all(Array.from({ length: kTogether }, async () => {
    while (order.length > 0) await loadOne(order.shift());
  }));
  if (timeline.frames === frames) document.documentElement.dataset.view = "whole";
}

async function loadSkill() {
  skillAsked = performance.now();
  skill = await get("/api/skill");
  showThresholds();
  showSkill();
}

async function ask({ latitude, longitude }) {
  map.pin(latitude, longitude);
  keep({ point: { latitude, longitude } });
  say("point-title", `Rain at ${place(latitude, longitude)}`);
  reveal("let-go", true);
  try {
    const answer = await get(`/api/point?lat=${latitude.toFixed(5)}&lon=${longitude.toFixed(5)}`);
    if (settings.point?.latitude !== latitude || settings.point?.longitude !== longitude) return;
    point = answer;
    showPoint();
  } catch {
    point = null;
    reveal("point-chart", false);
    reveal("point-facts", false);
    say("sentence", "The service did not answer. Ask again by another click.");
  }
}
function letGo() {
  point = null;
  keep({ point: null });
  map.unpin();
  say("point-title", "Rain at a place");
  say("sentence", "Click or tap the map, or move the cross-hair with the arrow keys and press Enter.");
  for (const id of ["point-chart", "point-facts", "let-go"]) reveal(id, false);
}

// ---- what is seen ----

function showStatus() {
  const is = status(), until = expired();
  byId("banner").dataset.status = is;
  byId("icon").setAttribute("href", `#icon-${is}`);
  say("word", kWords[is]);
  say("reason", reasonFor(is));
  document.title = `${is === "OK" ? "" : `${kWords[is].toUpperCase()} · `}raincell`;
  showFacts();
  const old = Number.isFinite(until);
  document.documentElement.classList.toggle("expired", old);
  reveal("empty", Boolean(latest) && !latest.nominal && !shownMap);
  if (timeline.frame) showFrame(timeline.frame);
  timeline.redraw({ now: now(), expired: until, clock });
  if (point) showPoint();
}

function reasonFor(is) {
  if (is === "UNREACHABLE") {
    return latest ? `from the service since ${clock.exact(parse(latest.now))}. What you see is what it said then.` : "from the service yet. The page keeps asking.";
  }
  if (is === "WAITING") return "for the service's first word";
  if (is === "STALE" && latest.status !== "STALE") return `No newer nowcast has come; this one was valid until ${clock.time(expired())}.`;
  return latest.reason || (is === "OK" ? "The nowcast is up to date." : "");
}

function showFacts() {
  const facts = [];
  if (latest?.nominal) {
    const seconds = latest.input_age_s + (now() - parse(latest.now)) / 1000;
    const until = parse(latest.valid_until), over = Number.isFinite(expired());
    facts.push(["Nowcast of", clock.time(parse(latest.nominal))], ["Forecaster", forecaster()], ["Input", `${age(seconds)} old`]);
    if (Number.isFinite(until)) facts.push([over ? "Not valid since" : "Valid until", clock.time(until)]);
  }
  if (latest) facts.push([latest.speed > 1 ? `Replay ×${latest.speed}` : kServiceClock, clock.exact(now())]);
  const list = byId("facts");
  if (list.children.length !== facts.length) {
    list.replaceChildren(...facts.map(() => {
      const pair = document.createElement("div");
      pair.append(document.createElement("dt"), document.createElement("dd"));
      return pair;
    }));
  }
  facts.forEach(([name, value], i) => {
    const [dt, dd] = list.children[i].children;
    if (dt.textContent !== name) dt.textContent = name;
    if (dd.textContent !== value) dd.textContent = value;
    list.children[i].classList.toggle("minor", name === kServiceClock);
  });
}
/** "convlstm", "convlstm, shorter history", "advection", "none". */
function forecaster() {
  if (latest.status === "WITHHELD" || latest.rung === "withheld") return "none";
  return latest.rung ?? latest.forecaster ?? "none";
}

function showFrame(frame) {
  const until = expired(), old = frame.kind === "forecast" && frame.at > until;
  map.show(frame.image);
  map.setOld(old);
  say("time", clock.time(frame.at));
  say("zone", clock.zoneName(frame.at));
  say("other-time", `${clock.otherTime(frame.at)} · ${clock.date(frame.at)}`);
  byId("kind").dataset.kind = old ? "old" : frame.kind;
  say("kind", `${old ? "Old forecast" : kKinds[frame.kind]}${frame.kind === "forecast" ? ` ${lead(frame.leadMinutes)}` : ""}`);
  reveal("old", old);
  if (old) say("old", `Old forecast of ${clock.time(frame.at - frame.leadMinutes * kMinute)}, not valid since ${clock.time(until)}`);
  timeline.say(clock, until);
  if (point && point.inside) drawPoint();
}

function showLegend() {
  const { legend, unit, missing_color } = shownMap;
  say("legend-unit", unit);
  byId("legend-classes").replaceChildren(...legend.map(({ from, color }, i) => {
    const item = document.createElement("li"), swatch = document.createElement("i"), label = document.createElement("span");
    swatch.style.background = color;
    label.textContent = i + 1 === legend.length ? `${from}+` : String(from);
    item.append(swatch, label);
    return item;
  }));
  byId("legend-unseen").firstElementChild.style.background = missing_color;
  reveal("legend", true);
}

function showPoint() {
  say("sentence", rainSentence(point, clock, expired()));
  const any = point.inside && point.series.length > 0;
  reveal("point-chart", any);
  reveal("point-facts", any);
  if (any) drawPoint();
}
function drawPoint() {
  if (point.series.length === 0) return;
  const { text } = pointChart(byId("point-chart"), {
    series: point.series, now: now(), shown: timeline.frame?.at, expired: expired(), clock,
    label: `Rain in mm/h against time. ${rainSentence(point, clock, expired())}`,
  });
  say("point-facts", text);
}

function showThresholds() {
  const list = byId("threshold"), wanted = skill.thresholds.map(String);
  if ([...list.options].map((option) => option.value).join() === wanted.join()) return;
  list.replaceChildren(...wanted.map((value) => new Option(`${value} mm/h`, value)));
  list.value = wanted.includes(String(settings.threshold)) ? String(settings.threshold) : wanted[Math.min(2, wanted.length - 1)] ?? "";
}

function showSkill() {
  if (!skill) return;
  const threshold = Number(byId("threshold").value);
  const scores = skill.scores.filter((score) => score.threshold_mm_h === threshold && score.csi !== null);
  const names = [...new Set([skill.issued, "advection", "persistence", ...scores.map((score) => score.forecaster)])];
  const lines = names.map((name) => ({
    name, style: name === skill.issued ? "issued" : name === "advection" || name === "persistence" ? name : "other",
    points: scores.filter((score) => score.forecaster === name).map((score) => ({ lead: score.lead_minutes, csi: score.csi })).sort((a, b) => a.lead - b.lead),
  })).filter((line) => line.points.length > 0);
  const any = lines.length > 0;
  reveal("skill-chart", any);
  reveal("skill-key", any);
  byId("threshold").disabled = skill.scores.length === 0;
  reveal("drift", Boolean(skill.drift));
  say("drift", skill.drift ?? "");
  if (!any) return say("skill-facts", skill.scores.length === 0 ? "No forecast scored yet." : `No rain of ${threshold} mm/h in the forecasts scored.`);
  skillChart(byId("skill-chart"), lines, `CSI against lead at ${threshold} mm/h. ${lines.map(spoken).join(" ")}`);
  byId("skill-key").replaceChildren(...lines.map((line) => {
    const item = document.createElement("li");
    item.append(lineSample(line.style), line.style === "issued" ? `${line.name} (issued)` : line.name);
    return item;
  }));
  const cases = scores.filter((score) => score.forecaster === lines[0].name).map((score) => score.cases);
  const least = Math.min(...cases), most = Math.max(...cases);
  say("skill-facts", `${least === most ? most : `${least} to ${most}`} forecasts a lead, last ${skill.hours} hours.`);
}
function spoken({ name, points }) {
  const first = points[0], last = points[points.length - 1];
  return `${name}: ${first.csi.toFixed(2)} after ${first.lead} minutes, ${last.csi.toFixed(2)} after ${last.lead}.`;
}

// ---- the user's choices ----

function setTheme() {
  const dark = settings.theme === "dark" || (settings.theme === "auto" && matchMedia("(prefers-color-scheme: dark)").matches);
  document.documentElement.dataset.theme = dark ? "dark" : "light";
}
function choose(name, value, apply) {
  for (const input of document.querySelectorAll(`input[name=${name}]`)) {
    input.checked = input.value === value;
    input.addEventListener("change", () => {
      keep({ [name]: input.value });
      apply();
    });
  }
}

setTheme();
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", setTheme);
choose("theme", settings.theme, setTheme);
choose("clock", settings.clock, () => {
  clock = new Clock(settings.clock);
  showStatus();
});
byId("opacity").value = settings.opacity;
byId("opacity").addEventListener("input", () => {
  keep({ opacity: Number(byId("opacity").value) });
  map.setOpacity(settings.opacity / 100);
});
map.setOpacity(settings.opacity / 100);
byId("speed").value = timeline.rate = settings.rate;
byId("speed").addEventListener("change", () => {
  timeline.rate = Number(byId("speed").value);
  keep({ rate: timeline.rate });
});
byId("threshold").addEventListener("change", () => {
  keep({ threshold: Number(byId("threshold").value) });
  showSkill();
});
byId("let-go").addEventListener("click", letGo);
byId("latest").addEventListener("click", () => timeline.show(timeline.newest()));
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("button, select, input:not(#slider)")) return;
  if (event.key === " ") timeline.toggle();
  else if (event.key === "," || event.key === ".") {
    timeline.pause();
    timeline.show(timeline.index + (event.key === "." ? 1 : -1));
  } else if (event.key === "l" || event.key === "L") timeline.show(timeline.newest());
  else return;
  event.preventDefault();
});
new ResizeObserver(() => {
  if (point) showPoint();
  showSkill();
}).observe(byId("side"));

setInterval(showStatus, 1000);
poll();
