// What the caller may do with a graph, so that nothing is offered that the server would refuse.

import { getJson, paths } from "./api.js";
import { useLoad } from "./live.js";

/**
 * Whether the caller has a permission for the current graph; `undefined` until the server responds.
 *
 * @typedef {(permission: "read" | "cancel" | "complete" | "purge" | "export" | "observe") => boolean | undefined} May
 */

/**
 * The permissions that the server reports. If it reports none because it has no such route or fails,
 * everything is offered: each request is authorized anyway.
 *
 * @param {string[] | undefined} granted
 * @param {{status?: number} | null} failure
 * @returns {May}
 */
export function mayOf(granted, failure) {
    const isRefused = failure?.status === 401 || failure?.status === 403;
    const unlessReported = failure ? !isRefused : undefined;
    return (permission) => granted?.includes(permission) ?? unlessReported;
}

/**
 * Asks the server once for each graph and token.
 *
 * @param {import("./router.js").Graph | undefined} graph
 * @returns {May}
 */
export function usePermissions(graph, token) {
    const load = async (signal) =>
        graph ? (await getJson(paths.graph(graph, "permissions"), { signal })).permissions : [];
    const { data, failure } = useLoad(load, [graph?.projectId, graph?.name, token]);
    return mayOf(data, failure);
}
