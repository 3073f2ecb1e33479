//! RTCP: compound packets read part by part as borrowed views, and written into a buffer.
//!
//! Nothing is allocated, and reading costs in proportion to the bytes, whatever counts they claim
//! (transport-wide feedback, whose runs may claim much, has an allowance per datagram). Packets
//! come decrypted. Must know nothing of sessions, tracks, streams or clocks, and keeps no state
//! across packets.
//! RFC 3550 (RTCP), RFC 5506 (reduced size), RFC 4585 and RFC 5104 (feedback), RFC 3611 (extended
//! reports), RFC 8888, and the drafts of REMB and transport-wide feedback.

#![cfg_attr(
    not(test),
    expect(
        dead_code,
        unused_imports,
        reason = "what only clients send is written by tests alone, and not all that is read is used"
    )
)]

mod ccfb;
mod feedback;
mod report;
mod source;
mod twcc;
mod wire;
mod xr;

#[cfg(test)]
mod oracle;
#[cfg(test)]
mod tests;

pub(crate) use crate::rtp::{NtpTime, duration_to_compact, rtt};
pub(crate) use ccfb::{Arrival, Ccfb, CcfbBlock, CcfbSource, Ecn, write_ccfb};
pub(crate) use feedback::{
    Fir, FirEntry, Nack, Pli, Remb, write_fir, write_nack, write_pli, write_remb,
};
pub(crate) use report::{
    ReceiverReport, ReportBlock, SenderInfo, SenderReport, write_receiver_report,
    write_sender_report,
};
pub(crate) use source::{Bye, Sdes, write_bye, write_sdes};
pub(crate) use twcc::{MAX_TWCC_STATUSES, Twcc, TwccInfo, write_twcc};
pub(crate) use xr::{Dlrr, ExtendedReport, XrBlock, write_dlrr, write_receiver_time};

use wire::kind;

/// One part of a compound packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part<'a> {
    /// Packet type 200.
    SenderReport(SenderReport<'a>),
    /// Packet type 201.
    ReceiverReport(ReceiverReport<'a>),
    /// Packet type 202.
    Sdes(Sdes<'a>),
    /// Packet type 203.
    Bye(Bye<'a>),
    /// Packet type 205, format 1.
    Nack(Nack<'a>),
    /// Packet type 205, format 11.
    Ccfb(Ccfb<'a>),
    /// Packet type 205, format 15.
    Twcc(Twcc<'a>),
    /// Packet type 206, format 1.
    Pli(Pli),
    /// Packet type 206, format 4.
    Fir(Fir<'a>),
    /// Packet type 206, format 15, name `REMB`.
    Remb(Remb<'a>),
    /// Packet type 207.
    ExtendedReport(ExtendedReport<'a>),
}

/// Why the rest of a compound packet was not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RtcpError {
    /// Fewer bytes than a header has.
    #[error("RTCP header cut short")]
    Header,
    /// The version of another protocol.
    #[error("RTCP version {0} instead of 2")]
    Version(u8),
    /// A length past the end of the packet.
    #[error("RTCP part longer than its packet")]
    Length,
    /// A padding of nothing, or of more than there is.
    #[error("RTCP padding does not fit its part")]
    Padding,
    /// The named kind of part contradicts itself.
    #[error("malformed RTCP {0}")]
    Malformed(&'static str),
    /// Transport-wide feedback tells of more than [`MAX_TWCC_STATUSES`] packets in one datagram.
    #[error("RTCP transport-wide feedback claims too many packets")]
    TooManyStatuses,
}

/// The parts of a decrypted compound packet, in order. Parts of other kinds are passed over; the
/// first error is the last item.
#[derive(Debug, Clone)]
pub(crate) struct Parts<'a> {
    rest: &'a [u8],
    /// What transport-wide feedback may still tell of.
    statuses_left: u16,
}

impl<'a> Parts<'a> {
    /// Any part may come first: reduced size is allowed.
    pub(crate) fn new(packet: &'a [u8]) -> Self {
        Self {
            rest: packet,
            statuses_left: MAX_TWCC_STATUSES,
        }
    }

    /// Takes one part off; `None` for one of another kind.
    fn take_part(&mut self) -> Result<Option<Part<'a>>, RtcpError> {
        let (&[first, kind, high, low], rest) =
            self.rest.split_first_chunk().ok_or(RtcpError::Header)?;
        if first >> 6 != 2 {
            return Err(RtcpError::Version(first >> 6));
        }
        let len = usize::from(u16::from_be_bytes([high, low])) * 4;
        let (mut body, rest) = rest.split_at_checked(len).ok_or(RtcpError::Length)?;
        self.rest = rest;
        if first & 0x20 != 0 {
            body = without_padding(body).ok_or(RtcpError::Padding)?;
        }
        self.parse(kind, first & 0x1f, body)
    }

    fn parse(
        &mut self,
        kind: u8,
        count: u8,
        body: &'a [u8],
    ) -> Result<Option<Part<'a>>, RtcpError> {
        let (name, part) = match (kind, count) {
            (kind::SENDER_REPORT, _) => (
                "sender report",
                SenderReport::parse(count, body).map(Part::SenderReport),
            ),
            (kind::RECEIVER_REPORT, _) => (
                "receiver report",
                ReceiverReport::parse(count, body).map(Part::ReceiverReport),
            ),
            (kind::SDES, _) => (
                "source description",
                Sdes::parse(count, body).map(Part::Sdes),
            ),
            (kind::BYE, _) => ("goodbye", Bye::parse(count, body).map(Part::Bye)),
            (kind::TRANSPORT_FEEDBACK, feedback::FORMAT_NACK) => {
                ("NACK", Nack::parse(body).map(Part::Nack))
            }
            (kind::TRANSPORT_FEEDBACK, ccfb::FORMAT_CCFB) => {
                ("CCFB", Ccfb::parse(body).map(Part::Ccfb))
            }
            (kind::TRANSPORT_FEEDBACK, twcc::FORMAT_TWCC) => {
                self.spend(Twcc::claimed(body).unwrap_or(0))?;
                ("TWCC", Twcc::parse(body).map(Part::Twcc))
            }
            (kind::PAYLOAD_FEEDBACK, feedback::FORMAT_PLI) => {
                ("PLI", Pli::parse(body).map(Part::Pli))
            }
            (kind::PAYLOAD_FEEDBACK, feedback::FORMAT_FIR) => {
                ("FIR", Fir::parse(body).map(Part::Fir))
            }
            (kind::PAYLOAD_FEEDBACK, feedback::FORMAT_APPLICATION) if Remb::is_named(body) => {
                ("REMB", Remb::parse(body).map(Part::Remb))
            }
            (kind::EXTENDED_REPORT, _) => (
                "extended report",
                ExtendedReport::parse(body).map(Part::ExtendedReport),
            ),
            _ => return Ok(None),
        };
        part.map(Some).ok_or(RtcpError::Malformed(name))
    }

    fn spend(&mut self, statuses: u16) -> Result<(), RtcpError> {
        self.statuses_left = self
            .statuses_left
            .checked_sub(statuses)
            .ok_or(RtcpError::TooManyStatuses)?;
        Ok(())
    }
}

impl<'a> Iterator for Parts<'a> {
    type Item = Result<Part<'a>, RtcpError>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.rest.is_empty() {
            let part = self.take_part().transpose();
            if matches!(part, Some(Err(_))) {
                self.rest = &[];
            }
            if part.is_some() {
                return part;
            }
        }
        None
    }
}

impl std::iter::FusedIterator for Parts<'_> {}

/// The body without its padding, whose last byte is its length. Browsers fill transport-wide
/// feedback up by one to three bytes, so it need not be whole words.
fn without_padding(body: &[u8]) -> Option<&[u8]> {
    let padding = usize::from(*body.last()?);
    if padding == 0 {
        return None;
    }
    body.get(..body.len().checked_sub(padding)?)
}
