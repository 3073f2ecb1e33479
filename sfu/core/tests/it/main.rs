//! Scenarios over the simulated world, one file per concern. No test here looks at private state.

mod attack;
mod conference;
mod congestion;
mod crowd;
mod data;
mod demand;
mod direct;
mod imports;
mod layers;
mod limits;
mod loss;
mod malformed;
mod meet;
mod mute;
mod network;
mod nodes;
mod plain;
mod rehome;
mod replay;
mod resume;
mod rights;
mod scoreboard;
mod shape;
mod spread;
mod stay;
mod svc;
