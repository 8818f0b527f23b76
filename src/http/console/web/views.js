// The views. The overview is loaded with the page. The others are loaded a little later, or when one
// of them is needed, so that the overview is shown soon.

import { useEffect, useState } from "./vendor/htm-preact.js";
import { createStore, useStore } from "./store.js";
import { Overview } from "./views/overview.js";
import { Unknown } from "./views/unknown.js";

const LATER = {
    jobs: async () => (await import("./views/jobs.js")).Jobs,
    job: async () => (await import("./views/job.js")).Job,
    history: async () => (await import("./views/history.js")).History,
    bulk: async () => (await import("./views/bulk.js")).Bulk,
    store: async () => (await import("./views/store.js")).Store,
};

const LATER_MS = 2000;

const loaded = createStore({ overview: Overview, unknown: Unknown });

async function load(view) {
    if (view in loaded.get()) return;
    const component = await LATER[view]();
    loaded.set({ ...loaded.get(), [view]: component });
}

/** Loads the other views, so that they are there when they are needed. */
export function loadViewsLater() {
    setTimeout(() => {
        // If this fails, it is tried again when the view is needed, and then reported.
        for (const view of Object.keys(LATER)) load(view).catch(() => {});
    }, LATER_MS);
}

/**
 * Returns the component of a view. It is missing while the view is being loaded, and if that failed.
 *
 * @returns {{View?: Function, failure?: Error}}
 */
export function useView(view) {
    const View = useStore(loaded)[view];
    const [failed, setFailed] = useState({});
    useEffect(() => {
        load(view).catch((failure) => setFailed({ view, failure }));
    }, [view]);
    return { View, failure: failed.view === view ? failed.failure : undefined };
}
