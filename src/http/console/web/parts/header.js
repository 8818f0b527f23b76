// The header: where one is, where one can go, and the settings.

import { html } from "../vendor/htm-preact.js";
import { getJson, isTokenNeeded, paths } from "../api.js";
import { t } from "../i18n.js";
import { useLoad } from "../live.js";
import { formatRoute } from "../router.js";
import { LANGUAGES, THEMES, preferences, setPreference, token } from "../settings.js";
import { useStore } from "../store.js";

const HEALTH_MS = 15_000;

function Link({ to, current, children }) {
    const isCurrent = current.view === to.view && Boolean(current.graph) === Boolean(to.graph);
    return html`<a href=${formatRoute(to)} aria-current=${isCurrent ? "page" : undefined}>${children}</a>`;
}

/** The state of the store. It is public, so it needs no token. */
function Health() {
    const load = (signal) => getJson(paths.health, { signal, accepts: [503] });
    const { data, failure } = useLoad(load, [], HEALTH_MS);
    const state = failure ? "unreachable" : (data?.state ?? "loading");
    return html`<a class=${`health health-${state}`} href=${formatRoute({ view: "store" })} title=${data?.why ?? ""}>
        <span aria-hidden="true">${state === "ok" ? "●" : "▲"}</span> ${t(`health.${state}`)}</a>`;
}

function Choice({ name, label, options }) {
    const value = useStore(preferences)[name];
    return html`<select aria-label=${label} title=${label} value=${String(value)} onChange=${(event) => setPreference(name, options.find(([option]) => String(option) === event.target.value)[0])}>
        ${options.map(([option, text]) => html`<option value=${String(option)}>${text}</option>`)}
    </select>`;
}

/** @param {{route: import("../router.js").Route, may: import("../permissions.js").May, onHelp: () => void}} props */
export function Header({ route, may, onHelp }) {
    const { graph } = route;
    const hasToken = useStore(token) !== null;
    return html`<header>
        <nav class="navbar" aria-label=${t("nav.label")}>
            <span class="brand">jobstore</span>
            <${Link} to=${{ view: "overview" }} current=${route}>${t("nav.overview")}<//>
            <${Link} to=${{ view: "jobs" }} current=${route}>${t("nav.allJobs")}<//>
            <${Link} to=${{ view: "store" }} current=${route}>${t("nav.store")}<//>
            <span class="fill"></span>
            <${Health} />
            <${Choice} name="isUtc" label=${t("setting.zone")} options=${[
                [false, t("setting.local")],
                [true, "UTC"],
            ]} />
            <${Choice} name="language" label=${t("setting.language")} options=${Object.entries(LANGUAGES)} />
            <${Choice} name="theme" label=${t("setting.theme")} options=${THEMES.map((theme) => [theme, t(`theme.${theme}`)])} />
            <button class="small" onClick=${() => isTokenNeeded.set(true)}>${t(hasToken ? "token.change" : "token.enter")}</button>
            <button class="small" onClick=${onHelp} aria-label=${t("help.title")}>?</button>
        </nav>
        ${
            graph &&
            html`<nav class="navbar sub" aria-label=${t("nav.graph")}>
            <b class="graph-name">${graph.projectId}/${graph.name}</b>
            <${Link} to=${{ view: "jobs", graph }} current=${route}>${t("nav.jobs")}<//>
            <${Link} to=${{ view: "history", graph }} current=${route}>${t("nav.history")}<//>
            ${(may("cancel") || may("purge")) && html`<${Link} to=${{ view: "bulk", graph }} current=${route}>${t("nav.bulk")}<//>`}
        </nav>`
        }
    </header>`;
}
