//! What our side asks of a client's certificate (RFC 5246, 7.4.4): RSA beside ECDSA. The DTLS library asks
//! for ECDSA alone, and a client that has an RSA key, as GStreamer makes itself, then sends no certificate.
//! So the request is widened on its way out, and wherever the library hashes the handshake it is given what
//! went over the wire. Knows bytes only; must not keep state.

use std::borrow::Cow;

/// How much longer a request gets.
pub(super) const GROWTH: usize = 1 + 2 * SCHEMES.len();

/// The kind of certificate that is added: `rsa_sign`.
const RSA_SIGN: u8 = 1;
/// The signatures that are added: RSASSA-PKCS1-v1_5 over SHA-256 and SHA-384.
const SCHEMES: [[u8; 2]; 2] = [[4, 1], [5, 1]];

/// Of a record (RFC 6347, 4.1): its type, where its epoch and its length are, and its header's length.
const HANDSHAKE: u8 = 22;
const EPOCH: usize = 3;
const RECORD_LENGTH: usize = 11;
const RECORD_HEADER: usize = 13;

/// Of a message (RFC 6347, 4.2.2): its type, and the lengths of its header and of what it begins with.
const CERTIFICATE_REQUEST: u8 = 13;
const MESSAGE_HEADER: usize = 12;
const MESSAGE_NUMBER: usize = 2;

/// The transcript of a handshake as it went over the wire, where `transcript` is as the library wrote it.
/// Anything else is left as it is.
pub(super) fn as_sent(transcript: &[u8]) -> Cow<'_, [u8]> {
    let mut rest = transcript;
    while let Some((message, after)) = first_message(rest) {
        if let Some(widened) = widened(message) {
            let before = &transcript[..transcript.len() - rest.len()];
            return Cow::Owned([before, &widened, after].concat());
        }
        rest = after;
    }
    Cow::Borrowed(transcript)
}

/// Writes a datagram of the library as it is to be sent; returns its length. There have to be [`GROWTH`]
/// bytes more room than the datagram takes.
pub(super) fn write(datagram: &[u8], to: &mut [u8]) -> usize {
    let mut length = 0;
    let mut put = |bytes: &[u8]| {
        to[length..length + bytes.len()].copy_from_slice(bytes);
        length += bytes.len();
    };
    let mut rest = datagram;
    while let Some((header, fragment, after)) = first_record(rest) {
        let is_plain = header[0] == HANDSHAKE && header[EPOCH..EPOCH + 2] == [0, 0];
        match is_plain.then(|| widened(fragment)).flatten() {
            Some(widened) => {
                put(&header[..RECORD_LENGTH]);
                put(&(widened.len() as u16).to_be_bytes());
                put(&widened);
            }
            None => {
                put(header);
                put(fragment);
            }
        }
        rest = after;
    }
    put(rest);
    length
}

/// A whole request for a certificate, widened; none for anything else, and for one that has RSA in it.
fn widened(message: &[u8]) -> Option<Vec<u8>> {
    let (_, []) = first_message(message)? else {
        return None;
    };
    let (header, body) = message.split_at(MESSAGE_HEADER);
    if header[0] != CERTIFICATE_REQUEST {
        return None;
    }
    let (&kinds, rest) = body.split_first()?;
    let (kinds, rest) = rest.split_at_checked(kinds.into())?;
    let (schemes, rest) = rest.split_first_chunk()?;
    let (schemes, authorities) = rest.split_at_checked(u16::from_be_bytes(*schemes).into())?;
    if kinds.contains(&RSA_SIGN) {
        return None;
    }
    let mut new = Vec::with_capacity(body.len() + GROWTH);
    new.push(u8::try_from(kinds.len() + 1).ok()?);
    new.extend(kinds);
    new.push(RSA_SIGN);
    new.extend(
        u16::try_from(schemes.len() + 2 * SCHEMES.len())
            .ok()?
            .to_be_bytes(),
    );
    new.extend(schemes);
    new.extend(SCHEMES.as_flattened());
    new.extend(authorities);
    let length = u32::try_from(new.len()).ok()?.to_be_bytes();
    let (kind, number) = (&header[..1], &header[4..4 + MESSAGE_NUMBER]);
    Some([kind, &length[1..], number, &[0; 3], &length[1..], &new].concat())
}

/// The message that some bytes begin with, where all of it is there in one piece, and what follows it.
fn first_message(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let header = bytes.get(..MESSAGE_HEADER)?;
    let length =
        usize::from(header[1]) << 16 | usize::from(header[2]) << 8 | usize::from(header[3]);
    let is_whole = header[6..9] == [0; 3] && header[9..12] == header[1..4];
    is_whole.then(|| bytes.split_at_checked(MESSAGE_HEADER + length))?
}

/// The record that a datagram begins with: its header, its fragment, and what follows it.
fn first_record(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let (header, rest) = bytes.split_at_checked(RECORD_HEADER)?;
    let length = u16::from_be_bytes([header[RECORD_LENGTH], header[RECORD_LENGTH + 1]]);
    let (fragment, after) = rest.split_at_checked(length.into())?;
    Some((header, fragment, after))
}

#[cfg(test)]
mod tests;
