// Numbers, durations, sizes, and times as text.

import { preferences } from "./settings.js";

const LOCALES = { en: "en-US", zh: "zh-CN" };
const formats = new Map();

/** Formats are kept, because creating one takes longer than using it. */
function cached(key, create) {
    if (!formats.has(key)) formats.set(key, create());
    return formats.get(key);
}

const locale = () => LOCALES[preferences.get().language];

export function formatInteger(value) {
    const name = locale();
    return cached(`integer ${name}`, () => new Intl.NumberFormat(name)).format(value);
}

/** `850 ms`, `3.2 s`, `4 min 05 s`, `2 h 10 min`, `3 d 4 h`, `30 d` */
export function formatDuration(ms) {
    if (ms < 1000) return `${Math.max(0, Math.round(ms))} ms`;
    if (ms < 60_000) return `${(ms / 1000).toFixed(1)} s`;
    const two = (value) => String(value).padStart(2, "0");
    const seconds = Math.floor(ms / 1000);
    const [minutes, hours, days] = [60, 3600, 86_400].map((unit) => Math.floor(seconds / unit));
    if (hours === 0) return `${minutes} min ${two(seconds % 60)} s`;
    if (days === 0) return `${hours} h ${two(minutes % 60)} min`;
    return hours % 24 === 0 ? `${days} d` : `${days} d ${hours % 24} h`;
}

export function formatBytes(bytes) {
    const units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let unit = 0;
    while (bytes >= 1024 && unit < units.length - 1) {
        bytes /= 1024;
        unit += 1;
    }
    return `${unit === 0 ? bytes : bytes.toFixed(1)} ${units[unit]}`;
}

const two = (value) => String(value).padStart(2, "0");

/** The date and time in the reader's zone, or in UTC: `2026-11-30 22:15:03`. */
export function formatTime(ms, { isUtc } = preferences.get()) {
    const date = new Date(isUtc ? ms : ms - new Date(ms).getTimezoneOffset() * 60_000);
    return Number.isNaN(date.getTime()) ? "" : date.toISOString().slice(0, 19).replace("T", " ");
}

/** The time with milliseconds and its offset, for a tooltip or a detail. */
export function formatFullTime(ms, settings = preferences.get()) {
    const offset = settings.isUtc ? 0 : -new Date(ms).getTimezoneOffset();
    const sign = offset < 0 ? "-" : "+";
    const [hours, minutes] = [Math.floor(Math.abs(offset) / 60), Math.abs(offset) % 60];
    const zone = settings.isUtc ? "UTC" : `${sign}${two(hours)}:${two(minutes)}`;
    return `${formatTime(ms, settings)}.${String(Math.floor(ms) % 1000).padStart(3, "0")} ${zone}`;
}

/** A time as a query parameter. */
export const toRfc3339 = (ms) => new Date(ms).toISOString();
