// Asks for the access token.

import { html } from "../vendor/htm-preact.js";
import { isTokenNeeded } from "../api.js";
import { t } from "../i18n.js";
import { setToken, token } from "../settings.js";
import { Dialog } from "./dialog.js";

export function TokenDialog() {
    const close = () => isTokenNeeded.set(false);
    const submit = (event) => {
        event.preventDefault();
        setToken(event.target.elements.token.value.trim() || null);
        close();
    };
    const forget = () => {
        setToken(null);
        close();
    };
    return html`<${Dialog} title=${t("token.title")} onClose=${close}>
        <form onSubmit=${submit}>
            <p>${t("token.explanation")}</p>
            <label>${t("token.label")} <input name="token" type="password" autocomplete="off" spellcheck=${false} autofocus required /></label>
            <div class="buttons">
                <button type="button" onClick=${close}>${t("action.back")}</button>
                ${token.get() !== null && html`<button type="button" onClick=${forget}>${t("token.forget")}</button>`}
                <button>${t("token.use")}</button>
            </div>
        </form>
    <//>`;
}
