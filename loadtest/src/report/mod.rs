//! What a run found: the file for scripts, the table for the terminal, the page for colleagues.
//!
//! Owns the names and units of all of it, the judgement by thresholds, and how it is shown. Must not
//! measure.

pub mod compare;
pub mod figures;
pub mod format;
pub mod html;
pub mod model;
mod page;
mod quantiles;
pub mod steps;
mod svg;
pub mod table;
pub mod thresholds;

#[cfg(test)]
mod tests;

pub use model::{
    Bitrates, Environment, ErrorCount, Joins, Report, Rss, Server, SilentSubscription,
    ThresholdResult, TimelinePoint, TrackReport,
};
pub use quantiles::{Bucket, Quantiles};
