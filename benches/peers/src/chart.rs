//! The result as a chart (SVG): each store's speed beside jobstore's, on a log scale.
