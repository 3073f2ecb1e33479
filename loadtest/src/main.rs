//! The binary `loadtest`: wiring only. The command line is [`loadtest::cli`]'s.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    loadtest::cli::main()
}
