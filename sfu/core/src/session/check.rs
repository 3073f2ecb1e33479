//! Connectivity checks that leave out what RFC 8445 section 7.1 asks for: some encoders send binding
//! requests without PRIORITY, which the engine refuses. Such a check is completed before the engine sees
//! it, if it is genuine: signed with the password of this session (RFC 8489 section 14.5). Must not judge
//! anything else.

use aws_lc_rs::{constant_time, hmac};

use crate::stun::{Check, HEADER, INTEGRITY, MESSAGE_INTEGRITY, PRIORITY};

/// That of a peer-reflexive candidate (RFC 8445 section 5.1.2): all that is known of where it came from.
const PRIORITY_VALUE: u32 = (110 << 24) | (0xffff << 8) | 255;

/// A check without PRIORITY in whole, if it is signed with `password`.
pub(super) fn completed(check: &Check<'_>, password: &[u8]) -> Option<Vec<u8>> {
    if check.has_priority {
        return None;
    }
    let key = key(password);
    let mut whole = verified(&key, check)?.to_vec();
    whole.extend(PRIORITY.to_be_bytes());
    whole.extend(4_u16.to_be_bytes());
    whole.extend(PRIORITY_VALUE.to_be_bytes());
    append_signature(&key, &mut whole)?;
    Some(whole)
}

/// The key of a password (RFC 8489 section 9.1.1).
pub(super) fn key(password: &[u8]) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, password)
}

/// What comes before the signature of a check, if it is signed with this key.
pub(super) fn verified<'a>(key: &hmac::Key, check: &Check<'a>) -> Option<&'a [u8]> {
    let (signed, rest) = check.bytes.split_at_checked(check.integrity_at)?;
    let tag = rest.get(4..4 + INTEGRITY)?;
    constant_time::verify_slices_are_equal(sign(key, signed)?.as_ref(), tag).ok()?;
    Some(signed)
}

/// Signs a message, as its last attribute.
pub(super) fn append_signature(key: &hmac::Key, message: &mut Vec<u8>) -> Option<()> {
    let tag = sign(key, message)?;
    message.extend(MESSAGE_INTEGRITY.to_be_bytes());
    message.extend(u16::try_from(INTEGRITY).ok()?.to_be_bytes());
    message.extend(tag.as_ref());
    set_length(message, 0)
}

/// Writes into a message how long it is, with so many bytes more to come.
pub(super) fn set_length(message: &mut [u8], more: usize) -> Option<()> {
    let length = u16::try_from(message.len() - HEADER + more).ok()?;
    message
        .get_mut(2..4)?
        .copy_from_slice(&length.to_be_bytes());
    Some(())
}

/// The signature of what comes before it: over a header that counts it in.
fn sign(key: &hmac::Key, signed: &[u8]) -> Option<hmac::Tag> {
    let length = u16::try_from(signed.len() - HEADER + 4 + INTEGRITY).ok()?;
    let mut context = hmac::Context::with_key(key);
    context.update(signed.get(..2)?);
    context.update(&length.to_be_bytes());
    context.update(signed.get(4..)?);
    Some(context.sign())
}

/// A signature as the engine makes it, in tests.
#[cfg(test)]
pub(super) fn sha1_hmac(key: &[u8], parts: &[&[u8]]) -> [u8; 20] {
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, key);
    let mut context = hmac::Context::with_key(&key);
    for part in parts {
        context.update(part);
    }
    context.sign().as_ref().try_into().unwrap()
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};
    use str0m::ice::{StunMessage, StunMessageBuilder, TransId};

    use super::*;

    fn complete(bytes: &[u8], password: &[u8]) -> Option<Vec<u8>> {
        completed(&Check::read(bytes)?, password)
    }

    /// A binding request, nominating, signed by another implementation.
    fn check(priority: Option<u32>) -> Vec<u8> {
        let builder = StunMessageBuilder::new().binding().request();
        let builder = builder.username("0ours:theirs").use_candidate();
        let message = match priority {
            Some(priority) => builder.prio(priority).build(TransId::new()),
            None => builder.build(TransId::new()),
        };
        let mut buffer = vec![0; 256];
        let length = message
            .to_bytes(Some(b"password"), &mut buffer, sha1_hmac)
            .unwrap();
        buffer.truncate(length);
        buffer
    }

    #[test]
    fn a_check_without_priority_is_completed_and_signed_anew() {
        let lacking = check(None);
        assert!(StunMessage::parse(&lacking).is_err());
        let whole = complete(&lacking, b"password").unwrap();
        let parsed = StunMessage::parse(&whole).unwrap();
        assert!(parsed.verify(b"password", sha1_hmac));
        assert_eq!(parsed.prio(), Some(PRIORITY_VALUE));
        assert!(parsed.use_candidate());
        assert_eq!(parsed.split_username(), Some(("0ours", "theirs")));
        assert_eq!(whole[4..HEADER], lacking[4..HEADER], "same transaction");
    }

    #[test]
    fn nothing_else_is_touched() {
        assert_eq!(complete(&check(Some(7)), b"password"), None);
        assert_eq!(complete(&check(None), b"another"), None);
        let mut forged = check(None);
        forged[HEADER + 5] ^= 1;
        assert_eq!(complete(&forged, b"password"), None);
        let mut response = check(None);
        response[0] = 1;
        assert_eq!(complete(&response, b"password"), None);
    }

    #[test]
    fn no_prefix_of_a_check_is_misread() {
        let lacking = check(None);
        for end in 0..lacking.len() {
            assert_eq!(complete(&lacking[..end], b"password"), None, "{end} bytes");
        }
    }

    proptest! {
        /// A wrong byte makes no check that we read otherwise than the engine does.
        #[test]
        fn the_engine_reads_the_same(
            priority in prop::option::of(any::<u32>()),
            wrong in vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        ) {
            let mut bytes = check(priority);
            for (at, byte) in wrong {
                let at = at.index(bytes.len());
                bytes[at] ^= byte;
            }
            let whole = complete(&bytes, b"password");
            let bytes = whole.unwrap_or(bytes);
            let (ours, theirs) = (Check::read(&bytes), StunMessage::parse(&bytes));
            if let (Some(ours), Ok(theirs)) = (ours, theirs) {
                prop_assert_eq!(theirs.split_username(), ours.username.split_once(':'));
                prop_assert_eq!(theirs.use_candidate(), ours.nominates);
                prop_assert_eq!(theirs.prio().is_some(), ours.has_priority);
                let is_genuine = theirs.verify(b"password", sha1_hmac);
                prop_assert_eq!(verified(&key(b"password"), &ours).is_some(), is_genuine);
            }
        }
    }
}
