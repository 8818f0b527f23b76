// Opens a graph whose name is known, for servers or tokens that cannot list the graphs.

import { html } from "../vendor/htm-preact.js";
import { t } from "../i18n.js";
import { navigate } from "../router.js";

export function OpenGraph() {
    const open = (event) => {
        event.preventDefault();
        const { project, name } = event.target.elements;
        navigate({ view: "jobs", graph: { projectId: project.value.trim(), name: name.value.trim() }, query: "" });
    };
    return html`<form class="line open-graph" onSubmit=${open}>
        <label>${t("graph.project")} <input name="project" required autocomplete="off" /></label>
        <label>${t("graph.name")} <input name="name" required autocomplete="off" /></label>
        <button>${t("graph.open")}</button>
    </form>`;
}
