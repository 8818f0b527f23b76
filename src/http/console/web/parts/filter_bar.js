// The filters of a list. They are the API's query string, which can also be edited as text.

import { html, useEffect, useRef, useState } from "../vendor/htm-preact.js";
import { FILTERS, filtersOf, formatQuery, parseQuery, withPair, withoutPair } from "../filters.js";
import { toRfc3339 } from "../format.js";
import { t } from "../i18n.js";
import { useKeys } from "../keys.js";
import { preferences } from "../settings.js";

/** The value of an `<input type="datetime-local">` as a query parameter. */
const timeValue = (text) => toRfc3339(Date.parse(preferences.get().isUtc ? `${text}Z` : text));

function AddFilter({ pairs, onChange }) {
    const [key, setKey] = useState("command");
    const filter = FILTERS.find((one) => one.key === key);
    const add = (event) => {
        event.preventDefault();
        const text = event.target.elements.value.value;
        if (text === "") return;
        onChange(withPair(pairs, key, filter.kind === "time" ? timeValue(text) : text));
        event.target.reset();
    };
    const input = {
        choice: () =>
            html`<select name="value" aria-label=${t("filter.value")}>${filter.values.map((value) => html`<option value=${value}>${t(`state.${value}`)}</option>`)}</select>`,
        time: () =>
            html`<input name="value" type="datetime-local" step="1" required aria-label=${t("filter.value")} />`,
        text: () => html`<input name="value" required autocomplete="off" aria-label=${t("filter.value")} />`,
    }[filter.kind];
    return html`<form class="add-filter" onSubmit=${add}>
        <select aria-label=${t("filter.key")} value=${key} onChange=${(event) => setKey(event.target.value)}>
            ${FILTERS.map((one) => html`<option value=${one.key}>${t(`filter.${one.key}`)}</option>`)}
        </select>
        ${input()}
        <button>${t("filter.add")}</button>
    </form>`;
}

/**
 * @param {Object} props `children` are beside the query string, `aside` is below them
 * @param {import("../filters.js").Pairs} props.pairs
 * @param {(pairs: import("../filters.js").Pairs) => void} props.onChange
 */
export function FilterBar({ pairs, onChange, aside, children }) {
    const filters = filtersOf(pairs);
    const input = useRef(null);
    const text = formatQuery(filters);
    useEffect(() => {
        input.current.value = text;
    }, [text]);
    useKeys({ "/": () => input.current.select() });
    const arranging = pairs.filter((pair) => !filters.includes(pair) && pair[0] !== "offset");
    const change = (next) => onChange([...next, ...arranging]);
    const submit = (event) => {
        event.preventDefault();
        change(parseQuery(input.current.value));
    };
    return html`<div class="filters">
        <form class="query" role="search" onSubmit=${submit}>
            <label for="query">${t("filter.query")}</label>
            <input id="query" class="mono" ref=${input} autocomplete="off" spellcheck=${false} placeholder="state=running&command=import_graph" />
            <button>${t("filter.apply")}</button>
            ${children}
        </form>
        <div class="line">
            ${filters.map(([key, value]) => html`<span class="tag" key=${`${key}=${value}`}>
                <code>${key}=${value}</code>
                <button class="plain" aria-label=${`${t("filter.remove")} ${key}=${value}`} onClick=${() => change(withoutPair(filters, key, value))}>×</button></span>`)}
            <${AddFilter} pairs=${filters} onChange=${change} />
            ${aside && html`<span class="fill"></span>`}${aside}
        </div>
    </div>`;
}
