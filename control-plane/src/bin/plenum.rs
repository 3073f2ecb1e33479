//! The program `plenum`: a whole conference service in one process. Everything is in the library.

use std::process::ExitCode;

/// Media packets make many small allocations on many threads, which this allocator is good at.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let variables = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    control_plane::cli::main(std::env::args_os(), variables.collect())
}
