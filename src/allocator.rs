//! The allocator of the program: on Linux jemalloc, which gives memory back after a peak.

use tikv_jemalloc_ctl::{Access, AsName, Result, background_thread, max_background_threads};
use tikv_jemallocator::Jemalloc;

/// tokio aligns tasks and sockets to 128 bytes: glibc leaves some 190 beside each, jemalloc none
/// (benches/README.md).
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

/// Time in which freed memory goes back to the system. It is jemalloc's 10 s by default, of which a
/// peak takes some more.
const DECAY_MS: isize = 3_000;

/// Settings of the decay: for threads to come, and for this one.
const DECAY: [&str; 2] = ["arenas.dirty_decay_ms\0", "arena.0.dirty_decay_ms\0"];

/// Has a thread give memory back. By itself jemalloc does so while others allocate: what 1,500
/// uploads took and nobody needs any more would stay for as long as the server has nothing to do.
///
/// It must be called before other threads are there.
///
/// # Errors
/// When no thread can be had, or jemalloc was built without (as for musl). Then memory stays.
pub(crate) fn give_back_memory() -> Result<()> {
    for name in DECAY {
        name.name().write(DECAY_MS)?;
    }
    max_background_threads::write(1)?;
    background_thread::write(true)
}
