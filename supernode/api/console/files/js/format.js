// Numbers and times as people read them. Pure.

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];

/** Bytes with three significant digits: "1.20 GiB". */
export function bytes(amount) {
  if (amount == null) return "–";
  let unit = 0;
  while (Math.abs(amount) >= 999.5 && unit < UNITS.length - 1) {
    amount /= 1024;
    unit += 1;
  }
  return `${digits(amount, unit)} ${UNITS[unit]}`;
}

function digits(value, unit) {
  if (!unit) return String(Math.round(value));
  return value.toFixed(value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2);
}

/** Bytes per second; nothing moves at less than one. */
export function rate(amount) {
  return amount == null ? "–" : amount < 1 ? "0" : `${bytes(amount)}/s`;
}

/** A share as a percentage that is 100 % only when nothing is missing, 0 % only when all is. */
export function percent(share) {
  if (share == null || Number.isNaN(share)) return "–";
  if (share > 0 && share < 0.01) return "<1 %";
  if (share > 0.99 && share < 1) return ">99 %";
  return `${Math.round(share * 100)} %`;
}

/** Seconds as "4.2 s", "3 min 20 s", "2 h 5 min", "3 d 4 h". */
export function duration(seconds) {
  if (seconds == null || !Number.isFinite(seconds)) return "–";
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  const scales = [[86400, "d", 3600, "h"], [3600, "h", 60, "min"], [60, "min", 1, "s"]];
  for (const [large, largeName, small, smallName] of scales) {
    if (whole >= large) {
      const rest = Math.floor((whole % large) / small);
      return `${Math.floor(whole / large)} ${largeName}${rest ? ` ${rest} ${smallName}` : ""}`;
    }
  }
  return `${whole} s`;
}

/** A whole number with thin spaces between its thousands. */
export function count(number) {
  return number == null ? "–" : String(number).replace(/\B(?=(\d{3})+$)/g, "\u202f");
}

/** "1 peer", "2 peers". */
export function plural(number, noun) {
  return `${count(number)} ${noun}${number === 1 ? "" : "s"}`;
}

const two = (number) => String(number).padStart(2, "0");

/** Time of day of milliseconds since the epoch; `fine`: with milliseconds. */
export function clock(ms, fine = false) {
  const at = new Date(ms);
  const shown = `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
  return fine ? `${shown}.${String(at.getMilliseconds()).padStart(3, "0")}` : shown;
}

/** Date and time of milliseconds since the epoch. */
export function moment(ms) {
  const at = new Date(ms);
  return `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())} ${clock(ms)}`;
}

/** How long ago it was: "just now", "3 min ago". */
export function ago(ms, now) {
  const seconds = Math.max(0, (now - ms) / 1000);
  return seconds < 5 ? "just now" : `${duration(Math.floor(seconds)).split(" ").slice(0, 2).join(" ")} ago`;
}

/** The last part of a URL's path, or its host: what people call the file. */
export function fileName(url) {
  const [path] = (url || "").split(/[?#]/);
  const parts = path.split("/").filter(Boolean);
  const last = parts.length > 2 ? parts[parts.length - 1] : parts[1] || url;
  return decoded(last);
}

/** A part of a URL without its escapes; as it is, if they make no sense. */
export function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** The first characters of an ID that is too long to read. */
export function shortId(id) {
  return id && id.length > 14 ? `${id.slice(0, 10)}…` : id;
}
