//! SRTP and SRTCP (RFC 3711, RFC 7714) of what the egress lane sends and of the feedback it takes,
//! keyed by DTLS (RFC 5764). Owns keys, nonces, the SRTCP counter and replay protection. Must not know
//! of sessions or tracks: whoever sends says which SSRC and index a packet has, and never says one
//! pair twice.

mod cipher;
mod derive;
mod receiver;
mod replay;
mod sender;
#[cfg(test)]
mod tests;

pub(crate) use receiver::SrtcpReceiver;
pub(crate) use sender::SrtpSender;

/// What protects the packets of a transport; negotiated in the DTLS handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Profile {
    /// AES-128 in counter mode with an HMAC-SHA1 tag of 80 bits (RFC 5764), which every endpoint has.
    Aes128CmSha1_80,
    /// AES-128-GCM (RFC 7714).
    AeadAes128Gcm,
    /// AES-256-GCM (RFC 7714).
    AeadAes256Gcm,
}

impl Profile {
    /// Bytes of a master or session key.
    const fn key_len(self) -> usize {
        match self {
            Self::Aes128CmSha1_80 | Self::AeadAes128Gcm => 16,
            Self::AeadAes256Gcm => 32,
        }
    }

    /// Bytes of a master or session salt.
    const fn salt_len(self) -> usize {
        match self {
            Self::Aes128CmSha1_80 => 14,
            Self::AeadAes128Gcm | Self::AeadAes256Gcm => 12,
        }
    }

    /// Bytes of keying material that the handshake exports.
    pub(crate) const fn material_len(self) -> usize {
        2 * (self.key_len() + self.salt_len())
    }
}

/// Why no context could be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum KeyError {
    /// The material is not as long as the profile wants it.
    #[error("keying material of {actual} bytes where the profile has {expected}")]
    Length {
        /// Bytes the profile wants.
        expected: usize,
        /// Bytes there were.
        actual: usize,
    },
    /// The crypto library refused a key.
    #[error("the crypto library refused a key")]
    Refused,
}

/// Makes both directions of a transport from what its handshake exported: what we send is protected
/// with the keys of our side (`is_client`: we sent the ClientHello), what we take with the other's.
pub(crate) fn contexts(
    material: &[u8],
    profile: Profile,
    is_client: bool,
) -> Result<(SrtpSender, SrtcpReceiver), KeyError> {
    let expected = profile.material_len();
    if material.len() != expected {
        let actual = material.len();
        return Err(KeyError::Length { expected, actual });
    }
    // RFC 5764 section 4.2: client key, server key, client salt, server salt.
    let (keys, salts) = material.split_at(2 * profile.key_len());
    let (client_key, server_key) = keys.split_at(profile.key_len());
    let (client_salt, server_salt) = salts.split_at(profile.salt_len());
    let client = derive::Master::new(profile, client_key, client_salt)?;
    let server = derive::Master::new(profile, server_key, server_salt)?;
    let (ours, theirs) = if is_client {
        (client, server)
    } else {
        (server, client)
    };
    Ok((SrtpSender::new(&ours)?, SrtcpReceiver::new(&theirs)?))
}
