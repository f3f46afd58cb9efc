// Numbers and times as the page writes them.
export const DASH = "–";
const known = (value) => value !== null && value !== undefined && Number.isFinite(value);
const grouped = (digits) => new Intl.NumberFormat("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits });
const TWO = grouped(2), NONE = grouped(0), FOUR = grouped(4);

export const money = (value) => known(value) ? TWO.format(value) : DASH;
export const whole = (value) => known(value) ? NONE.format(value) : DASH;
export const shares = (value) => known(value) ? (Number.isInteger(value) ? NONE.format(value) : FOUR.format(value)) : DASH;
export const price = (value) => known(value) ? (Math.abs(value) < 1 ? FOUR : TWO).format(value) : DASH;
export const percent = (value, digits = 2) => known(value) ? `${(value * 100).toFixed(digits)}%` : DASH;
export const signedMoney = (value) => known(value) ? `${value > 0 ? "+" : ""}${TWO.format(value)}` : DASH;
export const signedPercent = (value) => known(value) ? `${value > 0 ? "+" : ""}${percent(value)}` : DASH;
export const words = (text) => text ? String(text).replaceAll("_", " ") : DASH;
export const gainOrLoss = (value) => !known(value) || value === 0 ? "" : value > 0 ? "gain" : "loss";

export function clock(milliseconds) {
  return known(milliseconds) ? new Date(milliseconds).toISOString().slice(11, 19) : DASH;
}
export function age(seconds) {
  if (!known(seconds)) return DASH;
  if (seconds < 90) return `${Math.round(seconds)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  return `${(seconds / 3600).toFixed(1)} h`;
}
export function duration(milliseconds) {
  if (!known(milliseconds)) return DASH;
  if (milliseconds === 0) return "0 ms";
  return milliseconds < 1000 ? `${milliseconds.toFixed(milliseconds < 10 ? 1 : 0)} ms` : age(milliseconds / 1000);
}
