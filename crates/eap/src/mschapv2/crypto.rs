//! The computations of MS-CHAP-V2 (RFC 2759 8) and of its keys (RFC 3079 3). MD4, SHA-1 and DES are what the method is
//! made of.
use crypto::Secret;
use crypto::legacy::{des_block, md4};
use crypto::sign::{Hash, digest};

/// A challenge.
pub(crate) type Challenge = [u8; 16];

const MAGIC1: &[u8] = b"Magic server to client signing constant";
const MAGIC2: &[u8] = b"Pad to make it do more than one iteration";
const KEY_MAGIC1: &[u8] = b"This is the MPPE Master Key";
const KEY_MAGIC2: &[u8] =
    b"On the client side, this is the send key; on the server side, it is the receive key.";
const KEY_MAGIC3: &[u8] =
    b"On the client side, this is the receive key; on the server side, it is the send key.";

/// Length of a response.
pub(crate) const NT_RESPONSE: usize = 24;
/// EAP wants 64 bytes (RFC 3748 7.10); the method has 32.
const MSK: usize = 64;

/// NtPasswordHash: MD4 over the password as UTF-16LE.
pub(crate) fn nt_password_hash(password: &[u8]) -> Secret {
    let mut wide = Secret::new(match std::str::from_utf8(password) {
        Ok(text) => text.encode_utf16().flat_map(u16::to_le_bytes).collect(),
        Err(_) => password.iter().flat_map(|b| [*b, 0]).collect(),
    });
    let hash = md4(wide.as_slice());
    wide.as_mut_slice().fill(0);
    hash
}

/// ChallengeHash: what the response is made over.
fn challenge_hash(peer: &Challenge, server: &Challenge, user: &[u8]) -> [u8; 8] {
    first(&digest(Hash::Sha1, &[peer, server, user]))
}

/// GenerateNTResponse.
pub(crate) fn nt_response(
    server: &Challenge,
    peer: &Challenge,
    user: &[u8],
    password_hash: &Secret,
) -> [u8; NT_RESPONSE] {
    let challenge = challenge_hash(peer, server, user);
    let mut keys = [0; 21];
    for (to, from) in keys.iter_mut().zip(password_hash.as_slice()) {
        *to = *from;
    }
    let mut out = [0; NT_RESPONSE];
    for (to, key) in out.chunks_exact_mut(8).zip(keys.chunks_exact(7)) {
        to.copy_from_slice(&des_block(first(key), challenge));
    }
    out
}

/// GenerateAuthenticatorResponse: how the server shows that it knows the password, too.
pub(crate) fn authenticator_response(
    password_hash: &Secret,
    nt_response: &[u8; NT_RESPONSE],
    peer: &Challenge,
    server: &Challenge,
    user: &[u8],
) -> Vec<u8> {
    let hash_hash = md4(password_hash.as_slice());
    let inner = digest(Hash::Sha1, &[hash_hash.as_slice(), nt_response, MAGIC1]);
    digest(Hash::Sha1, &[&inner, &challenge_hash(peer, server, user), MAGIC2])
}

/// The MSK: what the server receives with, then what it sends with, padded.
pub(crate) fn msk(password_hash: &Secret, nt_response: &[u8; NT_RESPONSE]) -> Secret {
    let master = master_key(password_hash, nt_response);
    let mut msk = asymmetric_key(&master, KEY_MAGIC2);
    msk.extend(asymmetric_key(&master, KEY_MAGIC3));
    msk.resize(MSK, 0);
    Secret::new(msk)
}

/// GetMasterKey (RFC 3079 3.4).
fn master_key(password_hash: &Secret, nt_response: &[u8; NT_RESPONSE]) -> Secret {
    let hash_hash = md4(password_hash.as_slice());
    let mut key = digest(Hash::Sha1, &[hash_hash.as_slice(), nt_response, KEY_MAGIC1]);
    key.truncate(16);
    Secret::new(key)
}

/// GetAsymmetricStartKey with 128 bits (RFC 3079 3.4).
fn asymmetric_key(master: &Secret, magic: &[u8]) -> Vec<u8> {
    let mut key = digest(Hash::Sha1, &[master.as_slice(), &[0; 40], magic, &[0xf2; 40]]);
    key.truncate(16);
    key
}

/// The first bytes; zeros where there are fewer, which does not happen.
fn first<const N: usize>(bytes: &[u8]) -> [u8; N] {
    bytes.first_chunk().copied().unwrap_or([0; N])
}

#[cfg(test)]
mod tests {
    use super::*;
    use data_encoding::HEXUPPER;

    fn hex<const N: usize>(text: &str) -> [u8; N] {
        HEXUPPER.decode(text.as_bytes()).unwrap().try_into().unwrap()
    }

    #[test]
    fn rfc_2759_section_9_2() {
        let (user, password) = (b"User", b"clientPass");
        let server = hex("5B5D7C7D7B3F2F3E3C2C602132262628");
        let peer = hex("21402324255E262A28295F2B3A337C7E");
        let hash = nt_password_hash(password);
        assert_eq!(challenge_hash(&peer, &server, user), hex("D02E4386BCE91226"));
        assert_eq!(hash.as_slice(), hex::<16>("44EBBA8D5312B8D611474411F56989AE"));
        let response = nt_response(&server, &peer, user, &hash);
        assert_eq!(response, hex("82309ECD8D708B5EA08FAA3981CD83544233114A3D85D6DF"));
        assert_eq!(md4(hash.as_slice()).as_slice(), hex::<16>("41C00C584BD2D91C4017A2A12FA59F3F"));
        assert_eq!(
            authenticator_response(&hash, &response, &peer, &server, user),
            hex::<20>("407A5589115FD0D6209F510FE9C04566932CDA56")
        );
    }

    #[test]
    fn rfc_3079_section_3_5_3() {
        let hash = nt_password_hash(b"clientPass");
        let response = hex("82309ECD8D708B5EA08FAA3981CD83544233114A3D85D6DF");
        let master = master_key(&hash, &response);
        assert_eq!(master.as_slice(), hex::<16>("FDECE3717A8C838CB388E527AE3CDD31"));
        // "SendStartKey128" of the server.
        assert_eq!(asymmetric_key(&master, KEY_MAGIC3), hex::<16>("8B7CDC149B993A1BA118CB153F56DCCB"));
        let msk = msk(&hash, &response);
        assert_eq!(msk.len(), 64);
        assert_eq!(&msk.as_slice()[16..32], hex::<16>("8B7CDC149B993A1BA118CB153F56DCCB"));
        assert_eq!(&msk.as_slice()[32..], [0; 32]);
    }

    #[test]
    fn passwords_are_utf_16() {
        assert_eq!(nt_password_hash("ä€😀".as_bytes()), md4(&[0xe4, 0, 0xac, 0x20, 0x3d, 0xd8, 0, 0xde]));
        assert_eq!(nt_password_hash(&[0xff]), md4(&[0xff, 0]));
    }
}
