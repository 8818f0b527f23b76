// A table of jobs of any length. Only the rows in view are in the document.

import { html, useEffect, useLayoutEffect, useRef, useState } from "../vendor/htm-preact.js";
import { formatDuration } from "../format.js";
import { t } from "../i18n.js";
import { useKeys } from "../keys.js";
import * as virtual from "../virtual_list.js";
import { StateWord, stateOf } from "./state_word.js";
import { Time, timesOf } from "./time.js";

/** The height of a row in pixels, as in style.css. */
const ROW_HEIGHT = 26;
/** Rows rendered outside of the view, on each side. */
const EXTRA_ROWS = 4;
/** How long the scroll bar rests before its position is corrected, in milliseconds. */
const REST_MS = 120;

/** What to know about a job besides its state: who submitted it, and why it failed, how far it is, or its URL. */
const note = (job) => (job.origin ? `${job.origin} · ${progress(job)}` : progress(job));

function progress(job) {
    if (job.outcome?.message) return job.outcome.message;
    if (job.status === "running") {
        const percent = job.progress === undefined ? "" : `${job.progress} % `;
        const text =
            (job.cancelRequested ? `${t("job.cancelRequested")} · ` : "") + percent + (job.progressText ?? "");
        if (text !== "") return text;
    }
    return job.request.url.replace(/^\/ges\/v1\.0\/[^/]+\/graphs\/[^/]+\//, "…/");
}

function cells(job, href, now) {
    const { waited, ran } = timesOf(job, now);
    return html`
        <span role="gridcell"><${StateWord} state=${stateOf(job)} /></span>
        ${job.graphName && html`<span role="gridcell" class="clip">${job.projectId}/${job.graphName}</span>`}
        <span role="gridcell" class="clip mono"><a href=${href(job)} tabindex="-1">${job.jobId}</a></span>
        <span role="gridcell" class="clip">${job.request.command}</span>
        <span role="gridcell" class="number"><${Time} ms=${job.submittedAt} /></span>
        <span role="gridcell" class="number">${formatDuration(waited)}</span>
        <span role="gridcell" class="number">${ran === null ? "" : formatDuration(ran)}</span>
        <span role="gridcell" class=${`clip ${job.outcome?.message ? "" : "quiet"}`} title=${job.outcome?.message ?? job.request.url}>${note(job)}</span>
    `;
}

const COLUMNS = ["state", "job", "command", "submitted", "waited", "ran", "note"];

/**
 * @param {Object} props
 * @param props.source an `OffsetSource` or a `CursorSource`
 * @param props.version changes when the source's jobs have changed
 * @param props.href returns the address of a job
 * @param props.firstRow the row to begin with
 * @param props.onRest called with the first visible row when scrolling has ended
 * @param props.onChange called when jobs have been loaded
 * @param props.onFailure called if jobs cannot be loaded
 */
export function JobTable({ source, version, href, firstRow = 0, hasGraphs, onRest, onChange, onFailure }) {
    const grid = useRef(null);
    const scroller = useRef(null);
    const position = useRef({ top: firstRow * ROW_HEIGHT, scrollTop: 0 });
    const [viewport, setViewport] = useState(0);
    const [, render] = useState(0);
    const selection = useRef(-1);
    const selected = selection.current;
    const redraw = () => render((before) => before + 1);

    const shape = { rows: source.count, rowHeight: ROW_HEIGHT, viewport };
    position.current.top = Math.min(position.current.top, virtual.maxTop(shape));
    const { top } = position.current;
    const { first, last, shift } = virtual.visibleRows(shape, top, EXTRA_ROWS);

    useLayoutEffect(() => {
        const measure = () => {
            const { clientHeight, clientWidth, offsetWidth } = scroller.current;
            grid.current.style.setProperty("--scroll-bar", `${offsetWidth - clientWidth}px`);
            setViewport(clientHeight);
        };
        measure();
        const observer = new ResizeObserver(measure);
        observer.observe(scroller.current);
        return () => observer.disconnect();
    }, []);

    const placeScrollBar = () => {
        if (viewport === 0) return;
        const at = virtual.scrollTopFor(shape, position.current.top);
        if (Math.abs(scroller.current.scrollTop - at) >= 1) scroller.current.scrollTop = at;
        position.current.scrollTop = scroller.current.scrollTop;
    };
    useLayoutEffect(placeScrollBar, [viewport, source.count]);
    useLoadedRows(source, first, last, version, onChange, onFailure);

    const rest = useRef(null);
    const rested = () => {
        placeScrollBar();
        onRest?.(Math.ceil(position.current.top / ROW_HEIGHT));
    };
    useEffect(() => () => clearTimeout(rest.current), []);
    const moveTo = (next) => {
        position.current.top = next;
        clearTimeout(rest.current);
        rest.current = setTimeout(rested, REST_MS);
        redraw();
    };
    const scrolled = () => {
        const { scrollTop } = scroller.current;
        const next = virtual.topAfter(shape, position.current, scrollTop);
        position.current.scrollTop = scrollTop;
        if (next === position.current.top) return;
        moveTo(next);
        // At an end of the bar, but not of the rows: make room to scroll on.
        if (
            virtual.scrollTopFor(shape, next) !== scrollTop &&
            (scrollTop <= 0 || scrollTop >= virtual.contentHeight(shape) - viewport)
        )
            placeScrollBar();
    };

    const select = (row) => {
        if (source.count === 0) return;
        const next = Math.min(Math.max(row, 0), source.count - 1);
        selection.current = next;
        moveTo(virtual.topToShow(shape, position.current.top, next));
        placeScrollBar();
    };
    const pageRows = Math.max(1, Math.floor(viewport / ROW_HEIGHT) - 1);
    const by = (rows) => () => {
        const { current } = selection;
        select(current < 0 ? Math.ceil(position.current.top / ROW_HEIGHT) : current + rows);
    };
    const open = (event) => {
        const job = source.row(selection.current);
        if (job && !event.target.closest?.("a, button")) location.hash = href(job);
    };
    useKeys({ j: by(1), k: by(-1), Enter: open });
    const inGrid = {
        ArrowDown: by(1),
        ArrowUp: by(-1),
        PageDown: by(pageRows),
        PageUp: by(-pageRows),
        Home: () => select(0),
        End: () => select(source.count - 1),
    };
    const pressed = (event) => {
        if (!inGrid[event.key] || event.ctrlKey || event.metaKey || event.altKey) return;
        event.preventDefault();
        inGrid[event.key]();
    };

    const now = Date.now();
    const rows = [];
    for (let row = first; row < last; row += 1) {
        const job = source.row(row);
        rows.push(html`<div
            role="row" key=${row} id=${`row-${row}`} class="row"
            aria-rowindex=${row + 2} aria-selected=${row === selected}
            onClick=${() => select(row)} onDblClick=${() => job && (location.hash = href(job))}
        >${job ? cells(job, href, now) : html`<span role="gridcell" class="quiet missing">${job === null ? t("jobs.quarantined") : "…"}</span>`}</div>`);
    }
    const isShown = selected >= first && selected < last;
    const columns = hasGraphs ? COLUMNS.toSpliced(1, 0, "graph") : COLUMNS;
    return html`<div
        ref=${grid} class=${`jobs ${hasGraphs ? "jobs-graphs" : ""}`} role="grid" tabindex="0" aria-label=${t("jobs.table")}
        aria-rowcount=${source.total === null ? -1 : source.total + 1} aria-colcount=${columns.length}
        aria-activedescendant=${isShown ? `row-${selected}` : undefined} onKeyDown=${pressed}
    >
        <div role="rowgroup"><div role="row" class="row head" aria-rowindex="1">
            ${columns.map((column) => html`<span role="columnheader" class=${["submitted", "waited", "ran"].includes(column) ? "number" : ""}>${t(`column.${column}`)}</span>`)}
        </div></div>
        <div role="rowgroup" class="scroller" ref=${scroller} onScroll=${scrolled}>
            <div class="spacer" style=${{ height: `${virtual.contentHeight(shape)}px` }}>
                <div class="layer" style=${{ height: `${Math.min(viewport, virtual.contentHeight(shape))}px` }}>
                    <div style=${{ transform: `translateY(${shift}px)` }}>${rows}</div>
                </div>
            </div>
        </div>
    </div>`;
}

/** Loads the rows in view. While a request is in progress, only the latest view is remembered. */
function useLoadedRows(source, first, last, version, onChange, onFailure) {
    const state = useRef({ wanted: null, source: null });
    useEffect(() => {
        const { current } = state;
        const isBusy = current.wanted !== null && current.source === source;
        current.wanted = [first, last];
        current.source = source;
        if (isBusy) return;
        const run = async () => {
            let loaded = null;
            try {
                while (current.source === source && loaded !== current.wanted) {
                    loaded = current.wanted;
                    if (await source.load(...loaded)) onChange();
                }
            } catch (failure) {
                if (failure.name !== "AbortError") onFailure(failure);
            }
            if (current.source === source) current.wanted = null;
        };
        run();
    }, [source, first, last, version]);
}
