//! Removes operations from a failing life as long as it still fails in the same way.

/// Returns the shortest list found. `fails` returns whether a list still fails in the same way.
pub fn shrink<T: Clone>(mut ops: Vec<T>, mut fails: impl FnMut(&[T]) -> bool) -> Vec<T> {
    let mut part = ops.len() / 2;
    while part > 0 {
        let mut at = 0;
        let mut any = false;
        while at < ops.len() {
            let mut fewer = ops.clone();
            fewer.drain(at..(at + part).min(ops.len()));
            if fails(&fewer) {
                ops = fewer;
                any = true;
            } else {
                at += part;
            }
        }
        if part == 1 && any {
            continue;
        }
        part /= 2;
    }
    ops
}
