// The arithmetic of a list that is too tall for a browser.
//
// Ten million rows are hundreds of millions of pixels, but browsers lay out only some tens of
// millions. So the scrolled content is at most MAX_HEIGHT tall. A large movement, such as dragging
// the scroll bar, goes to the proportional position. A small one, such as a turn of the wheel,
// moves the rows by as many pixels; afterwards, the scroll bar is put where it belongs.

export const MAX_HEIGHT = 8_000_000;

/** @typedef {{rows: number, rowHeight: number, viewport: number}} Shape */

const fullHeight = ({ rows, rowHeight }) => rows * rowHeight;
const clamp = (value, max) => Math.min(Math.max(value, 0), Math.max(max, 0));

/** The height of the scrolled content, in pixels. */
export const contentHeight = (shape) => Math.min(fullHeight(shape), MAX_HEIGHT);

const isScaled = (shape) => fullHeight(shape) > MAX_HEIGHT;
const scrollRange = (shape) => contentHeight(shape) - shape.viewport;

/** The largest position of the rows: the last row is at the bottom. */
export const maxTop = (shape) => Math.max(0, fullHeight(shape) - shape.viewport);

/** The position of the rows that is proportional to a position of the scroll bar. */
export function topAt(shape, scrollTop) {
    const range = scrollRange(shape);
    if (range <= 0) return 0;
    return clamp((scrollTop / range) * maxTop(shape), maxTop(shape));
}

/**
 * The position of the scroll bar for a position of the rows. It is at an end only if the rows are,
 * so that one can always scroll on.
 */
export function scrollTopFor(shape, top) {
    if (!isScaled(shape)) return clamp(top, maxTop(shape));
    const range = scrollRange(shape);
    if (top <= 0) return 0;
    if (top >= maxTop(shape)) return range;
    return Math.min(Math.max(Math.round((top / maxTop(shape)) * range), 1), range - 1);
}

/**
 * The position of the rows after the scroll bar has moved.
 *
 * @param {Shape} shape
 * @param {{top: number, scrollTop: number}} from
 * @param {number} scrollTop
 */
export function topAfter(shape, from, scrollTop) {
    if (!isScaled(shape)) return clamp(scrollTop, maxTop(shape));
    const moved = scrollTop - from.scrollTop;
    if (Math.abs(moved) > shape.viewport) return topAt(shape, scrollTop);
    return clamp(from.top + moved, maxTop(shape));
}

/** The rows to show, and how far the first one is shifted: `first` to `last` - 1. */
export function visibleRows(shape, top, extra = 0) {
    const first = Math.max(0, Math.floor(top / shape.rowHeight) - extra);
    const end = Math.ceil((top + shape.viewport) / shape.rowHeight) + extra;
    return { first, last: Math.min(shape.rows, end), shift: first * shape.rowHeight - top };
}

/** The position at which a row is visible, as near to `top` as possible. */
export function topToShow(shape, top, row) {
    const [start, end] = [row * shape.rowHeight, (row + 1) * shape.rowHeight];
    if (start < top) return start;
    return end > top + shape.viewport ? clamp(end - shape.viewport, maxTop(shape)) : top;
}

/**
 * The offset of a row in the list with the oldest job first. Such an offset keeps its job when new
 * jobs arrive.
 */
export const offsetOfRow = (row, total, newestFirst) => (newestFirst ? total - 1 - row : row);

/** The numbers of the blocks of `size` jobs that contain the rows `first` to `last` - 1. */
export function blocksOf(first, last, total, newestFirst, size) {
    if (last <= first) return [];
    const ends = [offsetOfRow(first, total, newestFirst), offsetOfRow(last - 1, total, newestFirst)];
    const [from, to] = ends.map((offset) => Math.floor(offset / size)).sort((a, b) => a - b);
    return Array.from({ length: to - from + 1 }, (_, n) => from + n);
}
