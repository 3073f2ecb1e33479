//! The little of STUN that tells to which worker a new TCP connection belongs.
//!
//! Owns reading the USERNAME of a binding request, without checking anything: the core checks. Must
//! not write STUN. RFC 8489 sections 5 and 14.3, RFC 8445 section 7.2.2.

use crate::config::MAX_WORKERS;

const BINDING_REQUEST: u16 = 0x0001;
const MAGIC_COOKIE: u32 = 0x2112_A442;
const USERNAME: u16 = 0x0006;
const HEADER: usize = 20;

/// The worker that an ICE user fragment of ours names by its first character, in base 36.
pub fn worker_of_ufrag(ufrag: &str) -> Option<usize> {
    let digit = ufrag.chars().next()?.to_digit(36)?;
    usize::try_from(digit)
        .ok()
        .filter(|&worker| worker < MAX_WORKERS)
}

/// Our user fragment in a binding request sent to us: what stands before the colon of its USERNAME.
pub(crate) fn ufrag_of_request(message: &[u8]) -> Option<&str> {
    let (header, mut attributes) = message.split_at_checked(HEADER)?;
    let (kind, header) = header.split_first_chunk::<2>()?;
    let (length, header) = header.split_first_chunk::<2>()?;
    let (cookie, _) = header.split_first_chunk::<4>()?;
    if u16::from_be_bytes(*kind) != BINDING_REQUEST
        || u32::from_be_bytes(*cookie) != MAGIC_COOKIE
        || usize::from(u16::from_be_bytes(*length)) != attributes.len()
    {
        return None;
    }
    while let Some((kind, rest)) = attributes.split_first_chunk::<2>() {
        let (length, rest) = rest.split_first_chunk::<2>()?;
        let length = usize::from(u16::from_be_bytes(*length));
        let (value, rest) = rest.split_at_checked(length)?;
        if u16::from_be_bytes(*kind) == USERNAME {
            return std::str::from_utf8(value)
                .ok()?
                .split_once(':')
                .map(|(ours, _)| ours);
        }
        // Attributes are padded to four bytes.
        attributes = rest.get(length.next_multiple_of(4) - length..)?;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(attributes: &[(u16, &[u8])]) -> Vec<u8> {
        let mut body = Vec::new();
        for (kind, value) in attributes {
            body.extend(kind.to_be_bytes());
            body.extend(u16::try_from(value.len()).unwrap().to_be_bytes());
            body.extend(*value);
            body.resize(body.len().next_multiple_of(4), 0);
        }
        let mut message = BINDING_REQUEST.to_be_bytes().to_vec();
        message.extend(u16::try_from(body.len()).unwrap().to_be_bytes());
        message.extend(MAGIC_COOKIE.to_be_bytes());
        message.extend([7; 12]);
        message.extend(body);
        message
    }

    #[test]
    fn our_part_of_the_username_is_found() {
        let message = request(&[(0x8022, b"abc"), (USERNAME, b"2abc:theirs")]);
        assert_eq!(ufrag_of_request(&message), Some("2abc"));
    }

    #[test]
    fn what_is_no_complete_binding_request_names_nothing() {
        let whole = request(&[(0x8022, b"abc"), (USERNAME, b"2abc:theirs")]);
        for end in 0..whole.len() {
            assert_eq!(ufrag_of_request(&whole[..end]), None, "cut at {end}");
        }
        for (at, value) in [(0, 1), (1, 2), (4, 0), (3, 9), (23, 200)] {
            let mut message = whole.clone();
            message[at] = value;
            assert_eq!(ufrag_of_request(&message), None, "byte {at}");
        }
        assert_eq!(ufrag_of_request(&request(&[(USERNAME, b"no-colon")])), None);
        assert_eq!(
            ufrag_of_request(&request(&[(USERNAME, &[0xFF, b':'])])),
            None
        );
        assert_eq!(ufrag_of_request(&request(&[])), None);
    }

    #[test]
    fn the_first_character_names_the_worker() {
        for (ufrag, worker) in [
            ("0abc", Some(0)),
            ("9x", Some(9)),
            ("a", Some(10)),
            ("zz", Some(35)),
            ("", None),
        ] {
            assert_eq!(worker_of_ufrag(ufrag), worker, "{ufrag}");
        }
        assert_eq!(worker_of_ufrag("+abc"), None);
        assert_eq!(worker_of_ufrag("é"), None);
    }
}
