// The page: navigation, settings, and the view that the address names.

import { html, render, useEffect, useState } from "./vendor/htm-preact.js";
import { isTokenNeeded } from "./api.js";
import { t } from "./i18n.js";
import { useKeys } from "./keys.js";
import { Header } from "./parts/header.js";
import { KeyboardHelp } from "./parts/keyboard_help.js";
import { Failure, Loading } from "./parts/notice.js";
import { TokenDialog } from "./parts/token_dialog.js";
import { usePermissions } from "./permissions.js";
import { navigate, route } from "./router.js";
import { preferences, token } from "./settings.js";
import { useStore } from "./store.js";
import { loadViewsLater, useView } from "./views.js";

function App() {
    const current = useStore(route);
    const { language, theme } = useStore(preferences);
    const usedToken = useStore(token);
    const isAsked = useStore(isTokenNeeded);
    const may = usePermissions(current.graph, usedToken);
    const [isHelpShown, showHelp] = useState(false);
    const { view, graph, jobId } = current;
    const title = [jobId, t(`nav.${view}`), graph && `${graph.projectId}/${graph.name}`, "jobstore"]
        .filter(Boolean)
        .join(" · ");
    useEffect(() => {
        document.documentElement.lang = language === "zh" ? "zh-Hans" : language;
        document.documentElement.dataset.theme = theme;
        document.title = title;
    }, [language, theme, title]);
    useKeys({
        "?": () => showHelp(true),
        o: () => navigate({ view: "overview" }),
        s: () => navigate({ view: "store" }),
        a: () => navigate({ view: "jobs", query: "" }),
    });
    const { View, failure } = useView(view);
    // With another token, everything is loaded again.
    const shown = View
        ? html`<${View} key=${`${usedToken} ${view} ${graph?.projectId} ${graph?.name}`} route=${current} may=${may} />`
        : html`<main class="view" id="main">
              ${failure ? html`<${Failure} failure=${failure} onRetry=${() => location.reload()} />` : html`<${Loading} />`}
          </main>`;
    return html`
        <a class="skip" href="#main" onClick=${skipToMain}>${t("nav.skip")}</a>
        <${Header} route=${current} may=${may} onHelp=${() => showHelp(true)} />
        ${shown}
        ${isAsked && html`<${TokenDialog} />`}
        ${isHelpShown && html`<${KeyboardHelp} onClose=${() => showHelp(false)} />`}
    `;
}

/** The address stays, because it names the view. */
function skipToMain(event) {
    event.preventDefault();
    const main = document.getElementById("main");
    main.tabIndex = -1;
    main.focus();
}

render(html`<${App} />`, document.getElementById("app"));
loadViewsLater();
