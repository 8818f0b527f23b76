import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import test from "node:test";
import { DICTIONARIES, t } from "../../../src/http/console/web/i18n.js";
import { FILTERS } from "../../../src/http/console/web/filters.js";
import { setPreference } from "../../../src/http/console/web/settings.js";

const web = new URL("../../../src/http/console/web/", import.meta.url);
const sources = readdirSync(web, { recursive: true })
    .filter((file) => file.endsWith(".js") && !/^(vendor|lang)\//.test(file))
    .map((file) => readFileSync(new URL(file, web), "utf8"));

/** What `t` is called with: whole keys, and the constant beginnings and ends of composed ones. */
function used() {
    const found = { keys: new Set(), patterns: [] };
    for (const source of sources) {
        for (const [, key] of source.matchAll(/"((?:[a-z]+\.)+[a-zA-Z_.]+)"/g)) found.keys.add(key);
        for (const [, key] of source.matchAll(/\bt\("([^"]+)"/g)) found.keys.add(key);
        for (const [, template] of source.matchAll(/\bt\(`([^`]+)`/g)) {
            const parts = template.split(/\$\{[^}]+\}/).map((part) => part.replaceAll(".", "\\."));
            found.patterns.push(new RegExp(`^${parts.join(".+")}$`));
        }
    }
    return found;
}

test("both languages have the same texts, with the same parameters", () => {
    const { en, zh } = DICTIONARIES;
    assert.deepEqual(Object.keys(zh).sort(), Object.keys(en).sort());
    const parameters = (text) => [...new Set(text.match(/\{\w+\}/g))].sort();
    for (const key of Object.keys(en)) {
        const needed = parameters(en[key].split("||").at(-1));
        assert.deepEqual(parameters(zh[key]), needed, key);
        assert.notEqual(zh[key].trim(), "", key);
    }
});

test("every text that is used exists", () => {
    const { keys } = used();
    const inSource = sources.flatMap((source) => [...source.matchAll(/\bt\("([^"]+)"/g)].map(([, key]) => key));
    assert.ok(inSource.length > 50);
    for (const key of inSource) assert.ok(key in DICTIONARIES.en, key);
    for (const { key, values = [] } of FILTERS) {
        assert.ok(`filter.${key}` in DICTIONARIES.en, key);
        for (const value of values) assert.ok(`state.${value}` in DICTIONARIES.en, value);
    }
    for (const key of keys) {
        const isText = /^(?:failure|question|column|key)\./.test(key);
        assert.ok(!isText || key in DICTIONARIES.en, key);
    }
});

test("every text is used", () => {
    const { keys, patterns } = used();
    // Composed in views/store.js, parts/notice.js, and parts/header.js.
    const composed = [/^store\./, /^failure\..+\.title$/, /^nav\./, /^health\./, /^outcome\./];
    const isUsed = (key) => keys.has(key) || [...patterns, ...composed].some((pattern) => pattern.test(key));
    assert.deepEqual(
        Object.keys(DICTIONARIES.en).filter((key) => !isUsed(key)),
        [],
    );
});

test("parameters and plurals", () => {
    assert.equal(t("jobs.count", { n: 1 }), "1 job");
    assert.equal(t("jobs.count", { n: 1234567 }), "1,234,567 jobs");
    setPreference("language", "zh");
    assert.equal(t("jobs.count", { n: 1 }), "1 个作业");
    setPreference("language", "en");
    assert.throws(() => t("no.such.text"));
});
