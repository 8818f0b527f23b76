// The page: navigation, settings, and the view that the address names.

import { html, render, useEffect, useState } from "./vendor/htm-preact.js";
import { isTokenNeeded } from "./api.js";
import { t } from "./i18n.js";
import { useKeys } from "./keys.js";
import { Header } from "./parts/header.js";
import { KeyboardHelp } from "./parts/keyboard_help.js";
import { TokenDialog } from "./parts/token_dialog.js";
import { usePermissions } from "./permissions.js";
import { navigate, route } from "./router.js";
import { preferences, token } from "./settings.js";
import { useStore } from "./store.js";
import { Bulk } from "./views/bulk.js";
import { History } from "./views/history.js";
import { Job } from "./views/job.js";
import { Jobs } from "./views/jobs.js";
import { Overview } from "./views/overview.js";
import { Store } from "./views/store.js";
import { Unknown } from "./views/unknown.js";

const VIEWS = {
    overview: Overview,
    jobs: Jobs,
    job: Job,
    history: History,
    bulk: Bulk,
    store: Store,
    unknown: Unknown,
};

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
    const View = VIEWS[view];
    // With another token, everything is loaded again.
    return html`
        <a class="skip" href="#main" onClick=${skipToMain}>${t("nav.skip")}</a>
        <${Header} route=${current} may=${may} onHelp=${() => showHelp(true)} />
        <${View} key=${`${usedToken} ${view} ${graph?.projectId} ${graph?.name}`} route=${current} may=${may} />
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
