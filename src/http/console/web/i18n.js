// Texts in the reader's language.
//
// A text may contain `{name}` for a parameter. A text with two forms, `one||other`, uses the first
// if the parameter `n` is 1.

import en from "./lang/en.js";
import zh from "./lang/zh.js";
import { formatInteger } from "./format.js";
import { preferences } from "./settings.js";

export const DICTIONARIES = { en, zh };

/** Returns the text with this key. */
export function t(key, parameters = {}) {
    const text = DICTIONARIES[preferences.get().language][key] ?? en[key];
    if (text === undefined) throw new Error(`unknown text: ${key}`);
    const [one, other = one] = text.split("||");
    const form = parameters.n === 1 ? one : other;
    return form.replace(/\{(\w+)\}/g, (_, name) => {
        const value = parameters[name];
        return typeof value === "number" ? formatInteger(value) : String(value);
    });
}
