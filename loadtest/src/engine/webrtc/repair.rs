//! Names on retransmissions: without SSRCs in the description, the server tells from `mid` and
//! `repaired-rtp-stream-id` (RFC 8852) what an RTX stream repairs, and the stack writes neither.
//!
//! Only adds header extensions to outgoing RTX packets. Belongs between the stack's responder to
//! NACKs and the wire.

use std::collections::VecDeque;
use std::time::Instant;

use bytes::Bytes;
use rtc::interceptor::{Interceptor, Packet, StreamInfo, TaggedPacket};
use rtc::rtp;
use rtc::sansio::Protocol;
use rtc::shared::error::Error;

use super::codecs::{MID, REPAIRED_RID, RID};

/// See the module.
#[derive(Default)]
pub(super) struct RepairNames {
    streams: Vec<Repaired>,
    inbound: VecDeque<TaggedPacket>,
    outbound: VecDeque<TaggedPacket>,
}

/// A media stream and the stream that repairs it.
struct Repaired {
    ssrc: u32,
    repair_ssrc: u32,
    mid_id: u8,
    rid_id: u8,
    repaired_rid_id: u8,
    /// Values of `mid` and `rid`, once a media packet has carried both.
    names: Option<(Bytes, Bytes)>,
}

impl Repaired {
    /// None for a stream without RTX, or without the extensions to name it.
    fn of(info: &StreamInfo) -> Option<Self> {
        let id = |uri: &str| {
            let extensions = &info.rtp_header_extensions;
            let extension = extensions.iter().find(|extension| extension.uri == uri)?;
            u8::try_from(extension.id).ok()
        };
        Some(Self {
            ssrc: info.ssrc,
            repair_ssrc: info.ssrc_rtx?,
            mid_id: id(MID)?,
            rid_id: id(RID)?,
            repaired_rid_id: id(REPAIRED_RID)?,
            names: None,
        })
    }

    fn learn(&mut self, header: &rtp::Header) {
        let mid = header.get_extension(self.mid_id);
        self.names = mid.zip(header.get_extension(self.rid_id));
    }

    fn name(&self, header: &mut rtp::Header) {
        if let Some((mid, rid)) = &self.names {
            // Ids that were agreed always fit.
            let _ = header.set_extension(self.mid_id, mid.clone());
            let _ = header.set_extension(self.repaired_rid_id, rid.clone());
        }
    }
}

impl RepairNames {
    fn handle_header(&mut self, header: &mut rtp::Header) {
        for stream in &mut self.streams {
            if stream.ssrc == header.ssrc && stream.names.is_none() {
                stream.learn(header);
            } else if stream.repair_ssrc == header.ssrc {
                stream.name(header);
            }
        }
    }
}

impl Protocol<TaggedPacket, TaggedPacket, ()> for RepairNames {
    type Rout = TaggedPacket;
    type Wout = TaggedPacket;
    type Eout = ();
    type Error = Error;
    type Time = Instant;

    fn handle_read(&mut self, message: TaggedPacket) -> Result<(), Error> {
        self.inbound.push_back(message);
        Ok(())
    }

    fn poll_read(&mut self) -> Option<TaggedPacket> {
        self.inbound.pop_front()
    }

    fn handle_write(&mut self, mut message: TaggedPacket) -> Result<(), Error> {
        if let Packet::Rtp(packet) = &mut message.message.packet {
            self.handle_header(&mut packet.header);
        }
        self.outbound.push_back(message);
        Ok(())
    }

    fn poll_write(&mut self) -> Option<TaggedPacket> {
        self.outbound.pop_front()
    }
}

impl Interceptor for RepairNames {
    fn bind_local_stream(&mut self, info: &StreamInfo) {
        self.unbind_local_stream(info);
        self.streams.extend(Repaired::of(info));
    }

    fn unbind_local_stream(&mut self, info: &StreamInfo) {
        self.streams.retain(|stream| stream.ssrc != info.ssrc);
    }

    fn bind_remote_stream(&mut self, _: &StreamInfo) {}
    fn unbind_remote_stream(&mut self, _: &StreamInfo) {}
}

#[cfg(test)]
mod tests {
    use rtc::interceptor::RTPHeaderExtension;

    use super::*;

    fn header(ssrc: u32, extensions: &[(u8, &'static str)]) -> rtp::Header {
        let mut header = rtp::Header {
            version: 2,
            ssrc,
            ..rtp::Header::default()
        };
        for (id, value) in extensions {
            let value = Bytes::from_static(value.as_bytes());
            header.set_extension(*id, value).expect("an extension");
        }
        header
    }

    #[test]
    fn a_retransmission_is_named_after_what_it_repairs() {
        let extension = |id, uri: &str| RTPHeaderExtension {
            id,
            uri: uri.to_owned(),
        };
        let info = StreamInfo {
            ssrc: 7,
            ssrc_rtx: Some(8),
            rtp_header_extensions: vec![
                extension(1, MID),
                extension(2, RID),
                extension(3, REPAIRED_RID),
            ],
            ..StreamInfo::default()
        };
        let mut names = RepairNames::default();
        names.bind_local_stream(&info);
        let mut media = header(7, &[(1, "0"), (2, "f")]);
        let before = media.clone();
        names.handle_header(&mut media);
        assert_eq!(media, before, "media stays as it is");

        let mut repair = header(8, &[]);
        names.handle_header(&mut repair);
        assert_eq!(repair, header(8, &[(1, "0"), (3, "f")]));
        let mut other = header(9, &[]);
        names.handle_header(&mut other);
        assert_eq!(other, header(9, &[]));
    }
}
