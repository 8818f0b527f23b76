// The reader's preferences, and the access token.
//
// Preferences are kept for the browser. The token is kept for the tab, and is never part of a URL.

import { createStore } from "./store.js";

const PREFERENCES = "jobstore.preferences";
const TOKEN = "jobstore.token";

export const LANGUAGES = { en: "English", zh: "中文" };
export const THEMES = ["auto", "light", "dark"];

function stored(storage, key) {
    try {
        return storage().getItem(key);
    } catch {
        return null; // Storage is disabled.
    }
}

function store(storage, key, value) {
    try {
        if (value === null) storage().removeItem(key);
        else storage().setItem(key, value);
    } catch {
        // The value is kept until the page is closed.
    }
}

const local = () => localStorage;
const tab = () => sessionStorage;

function initialPreferences() {
    let saved = {};
    try {
        saved = JSON.parse(stored(local, PREFERENCES) ?? "{}") ?? {};
    } catch {
        // Not written by this console.
    }
    const languages = globalThis.navigator?.languages ?? [];
    const preferred = languages.map((tag) => tag.slice(0, 2)).find((tag) => tag in LANGUAGES);
    return {
        language: saved.language in LANGUAGES ? saved.language : (preferred ?? "en"),
        theme: THEMES.includes(saved.theme) ? saved.theme : "auto",
        isUtc: saved.isUtc === true,
    };
}

export const preferences = createStore(initialPreferences());
export const token = createStore(stored(tab, TOKEN));

export function setPreference(name, value) {
    const next = { ...preferences.get(), [name]: value };
    store(local, PREFERENCES, JSON.stringify(next));
    preferences.set(next);
}

/** @param {string | null} value */
export function setToken(value) {
    store(tab, TOKEN, value);
    token.set(value);
}
