//! Scenarios over the simulated world, one file per concern. No test here looks at private state.

mod meet;
