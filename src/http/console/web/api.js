// Requests to the server. The token is sent as a header, and only to the API.

import { setToken, token } from "./settings.js";
import { createStore } from "./store.js";

/** An error response, or a request that got no response (`status` 0). */
export class ApiFailure extends Error {
    constructor(status, code, message, requestId) {
        super(message);
        this.status = status;
        this.code = code;
        this.requestId = requestId;
    }
}

/** Whether the server has refused the token, or the lack of one. */
export const isTokenNeeded = createStore(false);

const base = () => {
    const meta = document.querySelector('meta[name="jobstore-api"]');
    return new URL(meta?.getAttribute("content") || "..", document.baseURI);
};

const encoded = (...parts) => parts.map(encodeURIComponent).join("/");

/** Paths below the base. */
export const paths = {
    list: (graph) => `ges/v1.0/${encoded(graph.projectId)}/graphs/${encoded(graph.name)}/jobs/status`,
    cancel: (graph, id) => `ges/v1.0/${encoded(graph.projectId)}/graphs/${encoded(graph.name)}/jobs/${encoded(id)}`,
    graph: (graph, ...rest) => `jobstore/v1/graphs/${encoded(graph.projectId, graph.name, ...rest)}`,
    graphs: "jobstore/v1/graphs",
    recent: "jobstore/v1/recent",
    jobs: "jobstore/v1/jobs",
    store: "jobstore/v1/store",
    health: "health",
};

/** Returns the absolute URL of an API path. */
export function apiUrl(path, query = "") {
    return new URL(path + (query ? `?${query}` : ""), base()).href;
}

async function failure(response) {
    const requestId = response.headers.get("x-request-id") ?? undefined;
    const text = await response.text();
    let { errorCode, errorMessage } = { errorCode: undefined, errorMessage: undefined };
    try {
        ({ errorCode, errorMessage } = JSON.parse(text));
    } catch {
        // Not a response of jobstore, but perhaps of a proxy.
    }
    return new ApiFailure(response.status, errorCode, errorMessage ?? response.statusText, requestId);
}

/**
 * Sends a request. Returns the response, whose status is 2xx unless `accepts` allows another.
 *
 * @param {string} path
 * @param {{method?: string, query?: string, body?: string, signal?: AbortSignal, accepts?: number[]}} options
 */
export async function send(path, { method = "GET", query, body, signal, accepts = [] } = {}) {
    const headers = {};
    const sentToken = token.get();
    if (sentToken) headers["X-Auth-Token"] = sentToken;
    if (body !== undefined) headers["Content-Type"] = "application/json";
    let response;
    try {
        const options = { method, headers, body, signal, credentials: "same-origin", cache: "no-store" };
        response = await fetch(apiUrl(path, query), options);
    } catch (error) {
        if (signal?.aborted) throw error;
        throw new ApiFailure(0, undefined, "", undefined);
    }
    if (response.ok || accepts.includes(response.status)) return response;
    // The reason is in the body.
    if (method === "HEAD") return send(path, { query, signal });
    const failed = await failure(response);
    if (failed.status === 401 && token.get() === sentToken) {
        if (sentToken) setToken(null);
        isTokenNeeded.set(true);
    }
    throw failed;
}

/** Returns the JSON of a response. */
export async function getJson(path, options) {
    return (await send(path, options)).json();
}
