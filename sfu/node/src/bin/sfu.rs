//! The program `sfu`: a media node as a process of its own. Everything is in the library.

use std::process::ExitCode;

/// Media packets make many small allocations on many threads, which this allocator is good at.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    plenum_service::cli::main("sfu", sfu_node::program::run)
}
