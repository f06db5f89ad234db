//! Threads that let traffic go first.

/// How much a thread that is not in a hurry steps back.
const STEP: i32 = 10;

/// Has this thread, and those that it starts, get the processor after the threads that carry traffic. It
/// still gets its share when those have all they can do: a tenth of a core. Without it, a worker waits
/// for milliseconds while a large document is made into JSON on its core.
pub(crate) fn step_back() {
    // Where it is forbidden, all threads are equal.
    let _allowed = rustix::process::nice(STEP);
}
