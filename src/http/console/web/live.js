// Loading data, and loading it again while the page is visible.

import { useCallback, useEffect, useRef, useState } from "./vendor/htm-preact.js";

/**
 * Loads data when `inputs` change, and every `interval` milliseconds while the page is visible.
 * The data of earlier inputs is not shown. After a failure, the last data stays.
 *
 * @template T
 * @param {(signal: AbortSignal) => Promise<T>} load
 * @param {unknown[]} inputs
 * @param {number | ((data: T) => number | null) | null} interval
 * @returns {{data: T | undefined, failure: Error | null, isLoading: boolean, reload: () => void}}
 */
export function useLoad(load, inputs, interval = null) {
    const [state, setState] = useState({ data: undefined, failure: null, isLoading: true });
    const [round, setRound] = useState(0);
    const reload = useCallback(() => setRound((before) => before + 1), []);
    const lastInputs = useRef(null);
    useEffect(() => {
        const controller = new AbortController();
        const isNew = lastInputs.current === null || inputs.some((input, n) => input !== lastInputs.current[n]);
        lastInputs.current = inputs;
        if (isNew) setState({ data: undefined, failure: null, isLoading: true });
        let timer;
        let isPaused = false;
        const next = (data) => {
            const wait = typeof interval === "function" ? interval(data) : interval;
            if (wait !== null) timer = setTimeout(begin, wait);
        };
        const begin = async () => {
            timer = undefined;
            isPaused = document.hidden;
            if (isPaused) return; // Continued by `shown`.
            try {
                const data = await load(controller.signal);
                if (controller.signal.aborted) return;
                setState({ data, failure: null, isLoading: false });
                next(data);
            } catch (failure) {
                if (controller.signal.aborted) return;
                setState((before) => ({ ...before, failure, isLoading: false }));
                next(undefined);
            }
        };
        const shown = () => {
            if (document.hidden || (!isPaused && timer === undefined)) return;
            clearTimeout(timer);
            begin();
        };
        document.addEventListener("visibilitychange", shown);
        begin();
        return () => {
            controller.abort();
            clearTimeout(timer);
            document.removeEventListener("visibilitychange", shown);
        };
    }, [...inputs, round]);
    return { ...state, reload };
}
