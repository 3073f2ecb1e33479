//! Encoders and players over HTTP, against a whole `plenum`: every status, header and limit (RFC 9725,
//! draft-ietf-wish-whep-03). No offer here ever connects; that media flows is shown with real clients.

mod abuse;
mod endpoint;
mod play;
mod resource;
mod world;
