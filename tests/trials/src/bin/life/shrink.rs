//! Takes operations out of a failing life as long as it still fails in the same way.

/// The shortest list found; `fails` says whether a list still fails as it did.
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
