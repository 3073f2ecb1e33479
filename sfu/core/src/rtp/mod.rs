//! RTP as the rest of the core sees it: packets parsed once, payload descriptors, header
//! extensions.
//!
//! Owns the re-exports of str0m's small RTP types. Must know nothing of sessions, tracks or rooms.
//! RFC 3550 (RTP), RFC 8285 (header extensions).

mod codec;
mod dependency;
mod descriptor;
mod elements;
mod extensions;
mod format;
mod frame;
mod header;
mod keyframe;
mod kind;
mod layers;
mod ntp;
mod packet;
mod patch;
mod playout;
mod red;
mod seen;
mod sets;
mod vp9;

pub(crate) use codec::Codec;
pub(crate) use dependency::{MaskPlace, Structure, with_mask};
pub(crate) use descriptor::{Descriptor, PictureId, Vp8};
pub(crate) use elements::{Elements, id as extension_id};
pub(crate) use extensions::{DependencyDescriptor, extension_map};
pub(crate) use format::FormatText;
pub(crate) use frame::{Frame, References, bit as target_bit, grid_above};
pub(crate) use header::Header;
pub(crate) use kind::{is_media, is_rtcp};
pub(crate) use layers::LayerReader;
pub(crate) use ntp::{NtpTime, duration_to_compact, rtt};
pub(crate) use packet::{Packet, Thinned};
pub(crate) use patch::{Patch, Rewritten};
pub(crate) use playout::PlayoutDelay;
pub(crate) use red::{REDUNDANT_MAX, RedBlock, red_primary, write_red};
pub(crate) use seen::Seen;
pub(crate) use sets::ParameterSets;
pub(crate) use vp9::Vp9;

pub(crate) use str0m::{
    format::PayloadParams,
    media::{Mid, Pt, Rid},
    rtp::{Extension, ExtensionMap, ExtensionValues, Ssrc},
};
