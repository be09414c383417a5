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

const UNITS = [
  ["day", 86400],
  ["hour", 3600],
  ["minute", 60],
];

/** How long ago: "5 min ago", "yesterday". @param {number} seconds */
export function age(seconds, language) {
  const format = new Intl.RelativeTimeFormat(language, { numeric: "auto", style: "short" });
  const [unit, size] = UNITS.find(([, each]) => seconds >= each) ?? ["second", Infinity];
  return format.format(-Math.floor(seconds / size) || 0, unit); // never -0, "0 seconds ago"
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
