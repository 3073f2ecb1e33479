//! What all programs of Plenum share around their own work: how settings are read ([`config`]), where log,
//! traces and metrics go ([`telemetry`]), how they listen ([`serve`]), how they know each other
//! ([`cluster`]), what they read of certificates ([`pem`]), how they begin
//! and end ([`cli`]), and how one is asked whether it is well ([`probe`]). Must not know rooms, media or any program in particular.

pub mod cli;
pub mod cluster;
pub mod config;
pub mod pem;
pub mod probe;
pub mod serve;
pub mod telemetry;
