// What went wrong, or why there is nothing to see, and what to do about it.

import { html } from "../vendor/htm-preact.js";
import { isTokenNeeded } from "../api.js";
import { t } from "../i18n.js";

/** The key of the text that says what to do about a failure. */
function remedyKey({ status, code, message }) {
    if (status === undefined) return "failure.console";
    if (status === 0) return "failure.unreachable";
    if (status === 401) return "failure.token";
    if (status === 403) return "failure.permission";
    if (status === 404 || status === 405) return "failure.route";
    if (status === 503) return "failure.unavailable";
    if (status >= 500) return "failure.internal";
    if (code === "GES.8301" && message.includes(" was purged at ")) return "failure.purged";
    if (code === "GES.8301") return "failure.job";
    if (code === "GES.8000" && message.endsWith("not exist")) return "failure.graph";
    return "failure.invalid";
}

/** Whether the server has no such route. */
export const isMissingRoute = (failure) => failure?.status === 404 || failure?.status === 405;

export function Failure({ failure, onRetry }) {
    const { status, code, message, requestId } = failure;
    const facts = [status ? String(status) : null, code, requestId && `${t("failure.requestId")} ${requestId}`];
    return html`<div class="notice notice-bad" role="alert">
        <p><strong>${t(remedyKey(failure) + ".title")}</strong> ${message && html`<code>${message}</code>`}</p>
        <p>${t(remedyKey(failure))}</p>
        <p class="quiet">${facts.filter(Boolean).join(" · ")}</p>
        ${status === 401 && html`<button onClick=${() => isTokenNeeded.set(true)}>${t("token.enter")}</button>`}
        ${onRetry && html`<button onClick=${onRetry}>${t("action.retry")}</button>`}
    </div>`;
}

export function Empty({ title, children }) {
    return html`<div class="notice" role="status"><p><strong>${title}</strong></p>${children}</div>`;
}

export const Loading = () => html`<p class="quiet loading" role="status">${t("loading")}</p>`;
