//! Keyframe requests of the server (PLI, RFC 4585; FIR, RFC 5104), read off the stack's RTCP.
//!
//! Only listens: what passes goes on unchanged, to the stack's own interceptors.

use std::collections::VecDeque;
use std::time::Instant;

use rtc::interceptor::{Interceptor, Packet, StreamInfo, TaggedPacket};
use rtc::rtcp::payload_feedbacks::full_intra_request::FullIntraRequest;
use rtc::rtcp::payload_feedbacks::picture_loss_indication::PictureLossIndication;
use rtc::sansio::Protocol;
use rtc::shared::error::Error;
use tokio::sync::mpsc::UnboundedSender;

/// Tells the SSRC of each stream that a keyframe is asked of.
pub(super) struct KeyframeListener {
    told: UnboundedSender<u32>,
    inbound: VecDeque<TaggedPacket>,
    outbound: VecDeque<TaggedPacket>,
}

impl KeyframeListener {
    pub(super) fn new(told: UnboundedSender<u32>) -> Self {
        Self {
            told,
            inbound: VecDeque::new(),
            outbound: VecDeque::new(),
        }
    }

    fn listen(&self, packet: &dyn rtc::rtcp::Packet) {
        let any = packet.as_any();
        if let Some(request) = any.downcast_ref::<PictureLossIndication>() {
            // The publisher may be gone: then nobody wants to know.
            let _ = self.told.send(request.media_ssrc);
        } else if let Some(request) = any.downcast_ref::<FullIntraRequest>() {
            for entry in &request.fir {
                let _ = self.told.send(entry.ssrc);
            }
        }
    }
}

impl Protocol<TaggedPacket, TaggedPacket, ()> for KeyframeListener {
    type Rout = TaggedPacket;
    type Wout = TaggedPacket;
    type Eout = ();
    type Error = Error;
    type Time = Instant;

    fn handle_read(&mut self, message: TaggedPacket) -> Result<(), Error> {
        if let Packet::Rtcp(packets) = &message.message.packet {
            for packet in packets {
                self.listen(packet.as_ref());
            }
        }
        self.inbound.push_back(message);
        Ok(())
    }

    fn poll_read(&mut self) -> Option<TaggedPacket> {
        self.inbound.pop_front()
    }

    fn handle_write(&mut self, message: TaggedPacket) -> Result<(), Error> {
        self.outbound.push_back(message);
        Ok(())
    }

    fn poll_write(&mut self) -> Option<TaggedPacket> {
        self.outbound.pop_front()
    }
}

impl Interceptor for KeyframeListener {
    fn bind_local_stream(&mut self, _: &StreamInfo) {}
    fn unbind_local_stream(&mut self, _: &StreamInfo) {}
    fn bind_remote_stream(&mut self, _: &StreamInfo) {}
    fn unbind_remote_stream(&mut self, _: &StreamInfo) {}
}
