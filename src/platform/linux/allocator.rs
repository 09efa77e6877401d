//! The allocator of the program: on Linux jemalloc, which gives memory back after a peak.

use tikv_jemalloc_ctl::{Access, AsName, Result, background_thread, max_background_threads};

/// The allocator. tokio aligns tasks and sockets to 128 bytes: glibc leaves some 190 bytes unused
/// beside each of them, jemalloc none (benches/README.md).
pub use tikv_jemallocator::Jemalloc;

/// Time within which freed memory goes back to the system. jemalloc's default is 10 s, and after a
/// peak it takes longer than that.
const DECAY_MS: isize = 3_000;

/// Names of the settings of the decay: for new arenas, and for the first one.
const DECAY: [&str; 2] = ["arenas.dirty_decay_ms\0", "arena.0.dirty_decay_ms\0"];

/// Starts a thread that gives memory back. Without it jemalloc does so only as the program
/// allocates, so that an idle server would keep the memory of 1,500 past uploads.
///
/// Must be called before other threads exist.
///
/// # Errors
/// When no thread can be started, or jemalloc was built without threads (as for musl). Memory is
/// kept then.
pub fn give_back_memory() -> Result<()> {
    for name in DECAY {
        name.name().write(DECAY_MS)?;
    }
    max_background_threads::write(1)?;
    background_thread::write(true)
}
