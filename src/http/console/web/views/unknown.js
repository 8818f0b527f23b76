// An address that names no view.

import { html } from "../vendor/htm-preact.js";
import { t } from "../i18n.js";
import { Empty } from "../parts/notice.js";
import { formatRoute } from "../router.js";

export function Unknown() {
    return html`<main class="view" id="main">
        <h1>${t("nav.unknown")}</h1>
        <${Empty} title=${t("unknown.title")}><p>
            <a href=${formatRoute({ view: "overview" })}>${t("nav.overview")}</a></p><//>
    </main>`;
}
