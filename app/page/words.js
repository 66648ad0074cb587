// Times, ages and sentences. All times here are milliseconds of UTC.

export const kMinute = 60000;

/** "2010-08-26T06:00Z" -> milliseconds; NaN without one. */
export function parse(text) {
  return text ? Date.parse(text) : NaN;
}

function formatter(zone, parts) {
  return new Intl.DateTimeFormat("en-GB", { timeZone: zone, hourCycle: "h23", ...parts });
}

/** The user's clock or UTC, whichever leads, and the other one beside it. */
export class Clock {
  constructor(leading) {
    const home = Intl.DateTimeFormat().resolvedOptions().timeZone;
    this.zone = leading === "utc" ? "UTC" : home;
    this.other = leading === "utc" ? home : "UTC";
    this.minutes = formatter(this.zone, { hour: "2-digit", minute: "2-digit" });
    this.seconds = formatter(this.zone, { hour: "2-digit", minute: "2-digit", second: "2-digit" });
    this.named = formatter(this.zone, { timeZoneName: "short" });
    this.day = formatter(this.zone, { weekday: "short", day: "numeric", month: "short", year: "numeric" });
    this.otherMinutes = formatter(this.other, { hour: "2-digit", minute: "2-digit", timeZoneName: "short" });
  }
  time(at) {
    return Number.isFinite(at) ? this.minutes.format(at) : "–";
  }
  exact(at) {
    return Number.isFinite(at) ? this.seconds.format(at) : "–";
  }
  zoneName(at) {
    return this.named.formatToParts(at).find((part) => part.type === "timeZoneName").value;
  }
  date(at) {
    return this.day.format(at);
  }
  otherTime(at) {
    return this.otherMinutes.format(at);
  }
  /** Minutes since the leading clock's midnight, for labels at whole hours. */
  minuteOfDay(at) {
    const [hours, minutes] = this.minutes.format(at).split(":").map(Number);
    return 60 * hours + minutes;
  }
}

export function age(seconds) {
  if (!Number.isFinite(seconds)) return "unknown";
  const minutes = Math.max(0, Math.floor(seconds / 60));
  if (minutes < 1) return "under 1 min";
  if (minutes < 90) return `${minutes} min`;
  if (minutes < 48 * 60) return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
  return `${Math.floor(minutes / 1440)} days`;
}

/** "0.4", "12", "3.0": digits that a radar can vouch for. */
export function rain(value) {
  if (value === null || !Number.isFinite(value)) return "no data";
  if (value > 0 && value < 0.05) return "under 0.1";
  return value < 9.95 ? value.toFixed(1) : value.toFixed(0);
}

export function place(latitude, longitude) {
  const side = (value, positive, negative) => `${Math.abs(value).toFixed(3)}° ${value < 0 ? negative : positive}`;
  return `${side(latitude, "N", "S")}, ${side(longitude, "E", "W")}`;
}

export const kKinds = { observed: "Observed", filled: "Filled in", forecast: "Forecast" };

/** Minutes as "+35 min", "−20 min", "+1 h 35 min". */
export function lead(minutes) {
  const size = Math.abs(minutes);
  return `${minutes < 0 ? "−" : "+"}${size < 90 ? `${size} min` : `${Math.floor(size / 60)} h ${size % 60} min`}`;
}

/**
 * What the rain at a place does, in the chosen clock. `point` is the service's answer, `expired` the time from which its
 * forecast no longer holds (NaN: it holds).
 */
export function rainSentence(point, clock, expired) {
  if (!point.inside) return "Outside the radar's area.";
  const known = point.series.filter((step) => step.rain_mm_h !== null);
  if (known.length === 0) return "The radar has no data here.";
  const forecast = point.series.filter((step) => step.kind === "forecast");
  const observed = known.filter((step) => step.kind !== "forecast").pop();
  const last = observed ? `Last observed ${rain(observed.rain_mm_h)} mm/h at ${clock.time(parse(observed.time))}.` : "";
  if (Number.isFinite(expired)) return `The forecast has not been valid since ${clock.time(expired)}. ${last}`.trim();
  if (forecast.length === 0) return `There is no forecast. ${last}`.trim();
  const end = clock.time(parse(forecast[forecast.length - 1].time));
  if (forecast.every((step) => step.rain_mm_h === null)) return `The forecast has no data here. ${last}`.trim();
  const spell = point.rain;
  if (!spell) return `No rain until ${end}.`;
  const begin = spell.now ? "Raining now" : `Rain from ${clock.time(parse(spell.from))}`;
  const finish = spell.until ? `ends about ${clock.time(parse(spell.until))}` : `goes on beyond ${end}`;
  return `${begin}, heaviest ${rain(spell.heaviest_mm_h)} mm/h at ${clock.time(parse(spell.heaviest))}, ${finish}.`;
}
