// The views' addresses. They are in the fragment, so the server never sees filters in a page's URL,
// and the console works under any prefix.
//
//     #/                               overview
//     #/jobs?FILTERS                   jobs of all graphs
//     #/graphs/PROJECT/NAME/jobs?FILTERS
//     #/graphs/PROJECT/NAME/jobs/ID
//     #/graphs/PROJECT/NAME/history?RANGE
//     #/graphs/PROJECT/NAME/bulk?FILTERS
//     #/store

import { createStore } from "./store.js";

/**
 * @typedef {{projectId: string, name: string}} Graph
 * @typedef {{view: string, graph?: Graph, jobId?: string, query: string}} Route
 */

const GRAPH_VIEWS = ["jobs", "history", "bulk"];

/** @returns {Route} */
export function parseRoute(hash) {
    const address = hash.replace(/^#/, "") || "/";
    const at = address.indexOf("?");
    const [path, query] = at < 0 ? [address, ""] : [address.slice(0, at), address.slice(at + 1)];
    let parts;
    try {
        parts = path.split("/").filter(Boolean).map(decodeURIComponent);
    } catch {
        return { view: "unknown", query };
    }
    const [first, projectId, name, view, jobId] = parts;
    if (parts.length === 0) return { view: "overview", query };
    if (parts.length === 1 && (first === "jobs" || first === "store")) return { view: first, query };
    if (first === "graphs" && GRAPH_VIEWS.includes(view)) {
        const graph = { projectId, name };
        if (parts.length === 4) return { view, graph, query };
        if (parts.length === 5 && view === "jobs") return { view: "job", graph, jobId, query };
    }
    return { view: "unknown", query };
}

/**
 * The inverse of `parseRoute`.
 *
 * @param {Partial<Route>} route
 */
export function formatRoute({ view, graph, jobId, query }) {
    const parts = graph
        ? ["graphs", graph.projectId, graph.name, view === "job" ? "jobs" : view]
        : view === "overview"
          ? []
          : [view];
    if (view === "job") parts.push(jobId);
    return `#/${parts.map(encodeURIComponent).join("/")}${query ? `?${query}` : ""}`;
}

export const route = createStore(parseRoute(globalThis.location?.hash ?? ""));

export function navigate(to) {
    location.hash = formatRoute(to);
}

/** The address of the view that is shown. */
let shown = globalThis.location?.hash;

/**
 * Changes the address without a new entry in the history, and without rendering anything. Does nothing
 * if another view is about to be shown, because its address is already there.
 */
export function replaceAddress(to) {
    if (location.hash !== shown) return;
    history.replaceState(null, "", formatRoute(to));
    shown = location.hash;
}

globalThis.addEventListener?.("hashchange", () => {
    shown = location.hash;
    route.set(parseRoute(location.hash));
});
