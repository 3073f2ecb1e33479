//! The program `plenum`: a whole conference service in one process. Everything is in the library.

use std::process::ExitCode;

/// Media packets make many small allocations on many threads, which this allocator is good at.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    plenum_service::cli::main("plenum", control_plane::cli::plenum)
}
