// The retention policy of a graph, as the server applies it.

import { html } from "../vendor/htm-preact.js";
import { getJson, paths } from "../api.js";
import { formatBytes, formatDuration, formatInteger } from "../format.js";
import { t } from "../i18n.js";
import { useLoad } from "../live.js";
import { Failure, Loading, isMissingRoute } from "./notice.js";

/** The limits of a policy: their names and values. */
function limits(policy) {
    const ages = Object.entries(policy.maxAgeOfMs ?? {}).map(([kind, ms]) => [
        t("retention.maxAgeOf", { kind: t(`state.${kind}`) }),
        formatDuration(ms),
    ]);
    const others = [
        ["retention.maxAge", policy.maxAgeMs, formatDuration],
        ["retention.maxJobs", policy.maxJobs, formatInteger],
        ["retention.maxBytes", policy.maxBytes, formatBytes],
        ["retention.tombstoneAge", policy.tombstoneAgeMs, formatDuration],
        ["retention.maxTombstones", policy.maxTombstones, formatInteger],
    ];
    const known = others.filter(([, value]) => typeof value === "number");
    return [...known.map(([key, value, format]) => [t(key), format(value)]), ...ages];
}

export function Retention({ graph }) {
    const load = async (signal) => ({ policy: await getJson(paths.graph(graph, "retention"), { signal }) });
    const { data, failure } = useLoad(load, [graph.projectId, graph.name]);
    const content = () => {
        if (isMissingRoute(failure) || failure?.status === 403)
            return html`<p class="quiet">${t("retention.unknown")}</p>`;
        if (failure) return html`<${Failure} failure=${failure} />`;
        if (!data) return html`<${Loading} />`;
        if (data.policy === null) return html`<p>${t("retention.none")}</p>`;
        return html`<dl class="facts">${limits(data.policy).map(([name, value]) => html`<div><dt>${name}</dt>
            <dd>${value}</dd></div>`)}</dl>`;
    };
    return html`<section><h2>${t("store.retention")}</h2>${content()}</section>`;
}
