//! STUN messages (RFC 8489 sections 5 and 14), as far as the checks of ICE and plain binding requests need them.
//! Owns reading them, and the numbers in them. Must not judge who sent one: whether a signature is genuine, the
//! session decides.

pub(crate) const HEADER: usize = 20;
pub(crate) const BINDING_REQUEST: [u8; 2] = [0x00, 0x01];
pub(crate) const BINDING_SUCCESS: [u8; 2] = [0x01, 0x01];
const COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];

const USERNAME: u16 = 0x0006;
pub(crate) const MESSAGE_INTEGRITY: u16 = 0x0008;
pub(crate) const XOR_MAPPED_ADDRESS: u16 = 0x0020;
pub(crate) const PRIORITY: u16 = 0x0024;
const USE_CANDIDATE: u16 = 0x0025;
pub(crate) const FINGERPRINT: u16 = 0x8028;
const ICE_CONTROLLED: u16 = 0x8029;

/// Attributes from here on may be passed over by who does not know them.
pub(crate) const FIRST_OPTIONAL: u16 = 0x8000;

/// Bytes of a signature (HMAC-SHA1).
pub(crate) const INTEGRITY: usize = 20;

/// A message whose header is right and says how long it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Message<'a> {
    pub(crate) header: &'a [u8],
    attributes: &'a [u8],
}

impl<'a> Message<'a> {
    pub(crate) fn read(bytes: &'a [u8]) -> Option<Self> {
        let (header, attributes) = bytes.split_at_checked(HEADER)?;
        let length = usize::from(u16::from_be_bytes([header[2], header[3]]));
        let is_message = header[4..8] == COOKIE && length == attributes.len();
        is_message.then_some(Self { header, attributes })
    }

    pub(crate) fn is_binding_request(&self) -> bool {
        self.header.starts_with(&BINDING_REQUEST)
    }

    /// One after the other.
    pub(crate) fn attributes(&self) -> Attributes<'a> {
        Attributes {
            rest: self.attributes,
            at: HEADER,
        }
    }
}

/// A part of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Attribute<'a> {
    pub(crate) kind: u16,
    pub(crate) value: &'a [u8],
    /// Where it begins, from the first byte of the message.
    pub(crate) at: usize,
}

/// The attributes of a message. In the place of one that is not whole comes `None`, and nothing after it.
#[derive(Debug, Clone)]
pub(crate) struct Attributes<'a> {
    rest: &'a [u8],
    at: usize,
}

impl<'a> Iterator for Attributes<'a> {
    type Item = Option<Attribute<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let rest = std::mem::take(&mut self.rest);
        let at = self.at;
        let [t0, t1, l0, l1, behind @ ..] = rest else {
            return Some(None);
        };
        let length = usize::from(u16::from_be_bytes([*l0, *l1]));
        let Some((padded, others)) = behind.split_at_checked(length.next_multiple_of(4)) else {
            return Some(None);
        };
        self.rest = others;
        self.at = at + 4 + padded.len();
        Some(Some(Attribute {
            kind: u16::from_be_bytes([*t0, *t1]),
            value: padded.get(..length)?,
            at,
        }))
    }
}

/// A connectivity check (RFC 8445 section 7.1): a signed binding request with a user name of two halves. What
/// comes behind the signature is not read, as it is not signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Check<'a> {
    pub(crate) bytes: &'a [u8],
    /// Both halves of the name: ours, a colon, the client's.
    pub(crate) username: &'a str,
    /// Our half.
    pub(crate) ours: &'a str,
    /// Nominates the pair of addresses that it came on (RFC 8445 section 7.1.1).
    pub(crate) nominates: bool,
    pub(crate) has_priority: bool,
    /// Comes from a controlling agent, and holds nothing else that has to be understood.
    pub(crate) is_usual: bool,
    /// Where the signature begins.
    pub(crate) integrity_at: usize,
}

impl<'a> Check<'a> {
    pub(crate) fn read(bytes: &'a [u8]) -> Option<Self> {
        let message = Message::read(bytes).filter(Message::is_binding_request)?;
        let mut username = None;
        let (mut nominates, mut has_priority, mut is_usual) = (false, false, true);
        for attribute in message.attributes() {
            let Attribute { kind, value, at } = attribute?;
            match kind {
                // Of several the last holds, as it does for the engine: a check is found and answered by one name.
                USERNAME => username = Some(value),
                USE_CANDIDATE => nominates = true,
                PRIORITY => has_priority = true,
                MESSAGE_INTEGRITY if value.len() == INTEGRITY => {
                    let username = std::str::from_utf8(username?).ok()?;
                    let (ours, _) = username.split_once(':')?;
                    return Some(Self {
                        bytes,
                        username,
                        ours,
                        nominates,
                        has_priority,
                        is_usual,
                        integrity_at: at,
                    });
                }
                ICE_CONTROLLED => is_usual = false,
                FIRST_OPTIONAL.. => {}
                _ => is_usual = false,
            }
        }
        None
    }
}

#[cfg(test)]
mod tests;
