//! The messages of TURN as far as a server reads and writes them, over a codec.
//!
//! Owns which attributes are asked for and the shape of each answer. Must not decide anything. RFC 8489
//! (STUN), RFC 8656 (TURN).

use std::net::SocketAddr;

use turn_types::{
    AddressFamily,
    attribute::{
        ChannelNumber, Data, EvenPort, Lifetime, RequestedAddressFamily, RequestedTransport,
        XorPeerAddress, XorRelayedAddress,
    },
    message::{DATA, SEND},
    stun::{
        attribute::{
            AttributeType, ErrorCode, MessageIntegrity, Nonce, Realm, UnknownAttributes, Username,
            XorMappedAddress,
        },
        message::{
            IntegrityAlgorithm, IntegrityKey, LongTermKeyCredentials, Message, MessageClass,
            MessageWriteVec, TransactionId,
        },
        prelude::{
            Attribute as _, AttributeFromRaw as _, AttributeStaticType as _, MessageWrite as _,
            MessageWriteExt as _,
        },
    },
};

/// The realm of our credentials. Short, because every challenge carries it.
pub(super) const REALM: &str = "plenum";

/// Protocol number of UDP (RFC 8656 section 18.7).
const UDP: u8 = 17;

/// Why a request is refused, as RFC 8656 section 19 and RFC 8489 section 14.8 number it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Code {
    BadRequest = 400,
    Unauthorized = 401,
    Forbidden = 403,
    UnknownAttribute = 420,
    Mismatch = 437,
    StaleNonce = 438,
    Family = 440,
    WrongCredentials = 441,
    Transport = 442,
    PeerFamily = 443,
    Quota = 486,
    Capacity = 508,
}

/// What a client shows of itself.
pub(super) struct Shown {
    pub(super) username: String,
    pub(super) realm: String,
    pub(super) nonce: String,
}

/// What a client wants of a new relay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) is_ipv6: bool,
    /// Its port is to be even, as RTP has it that has a port of its own (RFC 3550 section 11).
    pub(super) is_even: bool,
    /// Seconds.
    pub(super) lifetime: Option<u32>,
}

/// The key of a user name and its password.
pub(super) fn key(username: &str, password: String) -> IntegrityKey {
    LongTermKeyCredentials::new(username.to_owned(), password, REALM.to_owned())
        .make_key(IntegrityAlgorithm::Sha1)
}

/// Whether a request was sealed with this key.
pub(super) fn is_sealed(request: &Message<'_>, key: &IntegrityKey) -> bool {
    matches!(
        request.validate_integrity_with_key(key),
        Ok(IntegrityAlgorithm::Sha1)
    )
}

/// What a request shows; none of it was checked. Without a seal it shows nothing.
pub(super) fn shown(request: &Message<'_>) -> Result<Shown, Code> {
    if !request.has_attribute(MessageIntegrity::TYPE) {
        return Err(Code::Unauthorized);
    }
    let text = |text: Option<String>| text.ok_or(Code::BadRequest);
    Ok(Shown {
        username: text(
            request
                .attribute::<Username>()
                .ok()
                .map(|a| a.username().to_owned()),
        )?,
        realm: text(
            request
                .attribute::<Realm>()
                .ok()
                .map(|a| a.realm().to_owned()),
        )?,
        nonce: text(
            request
                .attribute::<Nonce>()
                .ok()
                .map(|a| a.nonce().to_owned()),
        )?,
    })
}

/// Attributes that a server must understand and does not, beside those that carry the credentials.
pub(super) fn unknown(request: &Message<'_>, known: &[AttributeType]) -> Vec<AttributeType> {
    let always = [
        Username::TYPE,
        Realm::TYPE,
        Nonce::TYPE,
        MessageIntegrity::TYPE,
    ];
    request
        .iter_attributes()
        .map(|(_, attribute)| attribute.get_type())
        .filter(|kind| {
            kind.comprehension_required() && !always.contains(kind) && !known.contains(kind)
        })
        // What is asked for in one message is bounded by its size; the answer by this.
        .take(8)
        .collect()
}

/// What an allocate request asks for.
pub(super) fn wanted(request: &Message<'_>) -> Result<Wanted, Code> {
    let transport = request.attribute::<RequestedTransport>();
    if transport.map_err(|_| Code::BadRequest)?.protocol() != UDP {
        return Err(Code::Transport);
    }
    let is_ipv6 = if request.has_attribute(RequestedAddressFamily::TYPE) {
        let family = request.attribute::<RequestedAddressFamily>();
        family.map_err(|_| Code::Family)?.family() == AddressFamily::IPV6
    } else {
        false
    };
    let even = request.attribute::<EvenPort>();
    // The port beside it is not kept for another relay.
    if even.as_ref().is_ok_and(EvenPort::requested) {
        return Err(Code::Capacity);
    }
    Ok(Wanted {
        is_ipv6,
        is_even: even.is_ok(),
        lifetime: lifetime(request),
    })
}

/// Seconds, when the request has any.
pub(super) fn lifetime(request: &Message<'_>) -> Option<u32> {
    let lifetime = request.attribute::<Lifetime>();
    lifetime.ok().map(|lifetime| lifetime.seconds())
}

/// Attributes of an allocate request that are understood.
pub(super) const OF_ALLOCATE: &[AttributeType] = &[
    RequestedTransport::TYPE,
    RequestedAddressFamily::TYPE,
    EvenPort::TYPE,
    Lifetime::TYPE,
];

/// Attributes of a refresh request that are understood.
pub(super) const OF_REFRESH: &[AttributeType] = &[Lifetime::TYPE, RequestedAddressFamily::TYPE];

/// Attributes of requests about peers that are understood.
pub(super) const OF_PEERS: &[AttributeType] = &[XorPeerAddress::TYPE, ChannelNumber::TYPE];

/// All peers that a request names, which must be at least one and at most `most`.
pub(super) fn peers(request: &Message<'_>, most: usize) -> Result<Vec<SocketAddr>, Code> {
    let peers = request
        .iter_attributes()
        .filter(|(_, attribute)| attribute.get_type() == XorPeerAddress::TYPE)
        .take(most + 1)
        .map(|(_, attribute)| {
            let peer = XorPeerAddress::from_raw(attribute).map_err(|_| Code::BadRequest)?;
            Ok(peer.addr(request.transaction_id()))
        })
        .collect::<Result<Vec<_>, Code>>()?;
    if !(1..=most).contains(&peers.len()) {
        return Err(Code::BadRequest);
    }
    Ok(peers)
}

/// The number of a channel, when the request has a valid one.
pub(super) fn channel(request: &Message<'_>) -> Option<u16> {
    let channel = request.attribute::<ChannelNumber>().ok()?.channel();
    // RFC 8656 section 12 has less; clients of RFC 5766 use all of these.
    (0x4000..=0x7fff).contains(&channel).then_some(channel)
}

/// Where a send indication is to go, and what.
pub(super) fn sent<'a>(indication: &'a Message<'a>) -> Option<(SocketAddr, Vec<u8>)> {
    if !indication.has_class(MessageClass::Indication)
        || !indication.has_method(SEND)
        || !unknown(indication, &[XorPeerAddress::TYPE, Data::TYPE]).is_empty()
    {
        return None;
    }
    let peer = indication.attribute::<XorPeerAddress>().ok()?;
    let data = indication.attribute::<Data<'_>>().ok()?;
    Some((peer.addr(indication.transaction_id()), data.data().to_vec()))
}

/// A data indication.
pub(super) fn data(peer: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut message = Message::builder_indication(DATA, MessageWriteVec::new());
    let transaction: TransactionId = message.transaction_id();
    // A new message takes any attribute once.
    let _ = message.add_attribute(&XorPeerAddress::new(peer, transaction));
    let _ = message.add_attribute(&Data::new(bytes));
    message.finish()
}

/// What a success tells.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Success {
    pub(super) relayed: Option<SocketAddr>,
    pub(super) mapped: Option<SocketAddr>,
    /// Seconds.
    pub(super) lifetime: Option<u32>,
}

/// An answer that grants.
pub(super) fn success(request: &Message<'_>, told: Success, key: &IntegrityKey) -> Vec<u8> {
    let mut message = Message::builder_success(request, MessageWriteVec::new());
    let transaction = request.transaction_id();
    // A new message takes any attribute once.
    if let Some(relayed) = told.relayed {
        let _ = message.add_attribute(&XorRelayedAddress::new(relayed, transaction));
    }
    if let Some(mapped) = told.mapped {
        let _ = message.add_attribute(&XorMappedAddress::new(mapped, transaction));
    }
    if let Some(lifetime) = told.lifetime {
        let _ = message.add_attribute(&Lifetime::new(lifetime));
    }
    let _ = message.add_message_integrity_with_key(key, IntegrityAlgorithm::Sha1);
    message.finish()
}

/// An answer that refuses, to a client that has shown who it is.
pub(super) fn refusal(
    request: &Message<'_>,
    code: Code,
    unknown: &[AttributeType],
    key: &IntegrityKey,
) -> Vec<u8> {
    let mut message = error(request, code);
    if !unknown.is_empty() {
        // A new message takes any attribute once.
        let _ = message.add_attribute(&UnknownAttributes::new(unknown));
    }
    let _ = message.add_message_integrity_with_key(key, IntegrityAlgorithm::Sha1);
    message.finish()
}

/// An answer that refuses a stranger. A challenge carries a nonce, and is as short as can be.
pub(super) fn challenge(request: &Message<'_>, code: Code, nonce: Option<&str>) -> Vec<u8> {
    let mut message = error(request, code);
    if let Some(nonce) = nonce {
        // A new message takes any attribute once.
        if let (Ok(realm), Ok(nonce)) = (Realm::new(REALM), Nonce::new(nonce)) {
            let _ = message.add_attribute(&realm);
            let _ = message.add_attribute(&nonce);
        }
    }
    message.finish()
}

fn error(request: &Message<'_>, code: Code) -> MessageWriteVec {
    let mut message = Message::builder_error(request, MessageWriteVec::new());
    // The number says it all; a reason would only make a challenge longer.
    if let Ok(code) = ErrorCode::builder(code as u16).reason("").build() {
        let _ = message.add_attribute(&code);
    }
    message
}
