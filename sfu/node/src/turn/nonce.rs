//! Nonces of TURN that nobody has to remember: the time they were made, and a seal over it and the
//! address they were made for. A flood of first requests leaves nothing behind.
//!
//! Must not know what they guard. RFC 8489 section 9.2.

use std::{
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

use aws_lc_rs::hmac;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

/// How long a nonce is good for. Clients ask for a new one by themselves.
const LIFE: Duration = Duration::from_secs(600);

/// Bytes of the time, and of the seal: together 16 characters, so that a challenge is no longer than
/// three times the shortest request.
const TIME: usize = 4;
const SEAL: usize = 8;

/// Makes and checks nonces.
pub(super) struct Nonces {
    key: hmac::Key,
    born: Instant,
}

impl Nonces {
    pub(super) fn new() -> Self {
        Self {
            key: hmac::Key::new(hmac::HMAC_SHA256, &rand::random::<[u8; 32]>()),
            born: Instant::now(),
        }
    }

    /// A nonce for a client.
    pub(super) fn make(&self, now: Instant, client: SocketAddr) -> String {
        let time = self.seconds(now).to_be_bytes();
        let mut bytes = time.to_vec();
        bytes.extend(self.seal(time, client));
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Whether a nonce was made for this client, not long ago.
    pub(super) fn is_good(&self, nonce: &str, now: Instant, client: SocketAddr) -> bool {
        let Ok(bytes) = URL_SAFE_NO_PAD.decode(nonce) else {
            return false;
        };
        let Some((time, seal)) = bytes.split_first_chunk::<TIME>() else {
            return false;
        };
        let age = self.seconds(now).checked_sub(u32::from_be_bytes(*time));
        age.is_some_and(|age| u64::from(age) < LIFE.as_secs())
            && aws_lc_rs::constant_time::verify_slices_are_equal(seal, &self.seal(*time, client))
                .is_ok()
    }

    fn seal(&self, time: [u8; TIME], client: SocketAddr) -> [u8; SEAL] {
        let mut context = hmac::Context::with_key(&self.key);
        context.update(&time);
        match client.ip().to_canonical() {
            IpAddr::V4(ip) => context.update(&ip.octets()),
            IpAddr::V6(ip) => context.update(&ip.octets()),
        }
        context.update(&client.port().to_be_bytes());
        let tag = context.sign();
        let mut seal = [0; SEAL];
        seal.copy_from_slice(&tag.as_ref()[..SEAL]);
        seal
    }

    fn seconds(&self, now: Instant) -> u32 {
        let seconds = now.saturating_duration_since(self.born).as_secs();
        u32::try_from(seconds).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nonce_is_good_for_its_client_and_its_time() {
        let nonces = Nonces::new();
        let start = nonces.born + Duration::from_secs(5);
        let client = "192.0.2.1:5000".parse().unwrap();
        let nonce = nonces.make(start, client);
        assert_eq!(nonce.len(), 16);
        assert!(nonces.is_good(&nonce, start, client));
        assert!(nonces.is_good(&nonce, start + LIFE - Duration::from_secs(1), client));
        assert!(!nonces.is_good(&nonce, start + LIFE, client), "old");
        assert!(
            !nonces.is_good(&nonce, nonces.born, client),
            "of the future"
        );
        for other in ["192.0.2.1:5001", "192.0.2.2:5000", "[2001:db8::1]:5000"] {
            assert!(!nonces.is_good(&nonce, start, other.parse().unwrap()));
        }
        assert!(!Nonces::new().is_good(&nonce, start, client), "another's");
    }

    #[test]
    fn no_other_text_is_a_nonce() {
        let nonces = Nonces::new();
        let (now, client) = (nonces.born, "192.0.2.1:5000".parse().unwrap());
        let nonce = nonces.make(now, client);
        for end in 0..nonce.len() {
            assert!(!nonces.is_good(&nonce[..end], now, client));
        }
        for text in ["", "AAAAAAAAAAAAAAAA", "not base64 at all"] {
            assert!(!nonces.is_good(text, now, client));
        }
    }
}
