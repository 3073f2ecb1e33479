//! The program `control-plane`: everything but media. Everything is in the library.

use std::process::ExitCode;

/// Signalling makes many small allocations on many threads, which this allocator is good at.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    plenum_service::cli::main("control-plane", control_plane::cli::control_plane)
}
