// Times and durations in words.

/** @param {number} seconds */
export function duration(seconds) {
  if (seconds < 10) return `${Math.max(seconds, 0).toFixed(1)} s`;
  const whole = Math.round(seconds);
  const two = (number) => String(Math.floor(number)).padStart(2, "0");
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${two(whole % 60)} s`;
  if (whole < 86400) return `${Math.floor(whole / 3600)} h ${two((whole % 3600) / 60)} min`;
  return `${Math.floor(whole / 86400)} d ${two((whole % 86400) / 3600)} h`;
}

const DAY = 86_400_000;
const UNITS = [
  ["hour", 3_600_000],
  ["minute", 60_000],
];

/** How long ago, within a day: "5 min ago"; else when: "Tue 24 Nov, 03:00". @param {Date} date */
export function age(date, language, now = Date.now()) {
  const passed = now - date;
  if (passed >= DAY) {
    const year = passed > 300 * DAY ? { year: "numeric" } : { weekday: "short" };
    return date.toLocaleString(language, { ...year, day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });
  }
  const format = new Intl.RelativeTimeFormat(language, { numeric: "auto", style: "short" });
  const [unit, size] = UNITS.find(([, each]) => passed >= each) ?? ["second", Infinity];
  return format.format(-Math.floor(passed / size) || 0, unit); // never -0, "0 seconds ago"
}

/** The exact time in the reader's zone. @param {Date} date */
export function exact(date, language) {
  return date.toLocaleString(language, { dateStyle: "medium", timeStyle: "long" });
}

/** Show every <time> below an element in the reader's zone; exact on hover. */
export function localize(below) {
  for (const each of below.querySelectorAll("time[datetime]")) {
    const date = new Date(each.dateTime);
    each.textContent = exact(date);
    each.title = each.dateTime;
  }
}
