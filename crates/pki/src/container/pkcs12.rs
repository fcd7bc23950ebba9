//! PKCS#12 (RFC 7292) with a password for integrity: reading, and writing as OpenSSL 3 does (PBES2 with AES-256, MAC with
//! SHA-256) or as everybody did before (triple DES, SHA-1).
use super::{ContainerError, Item, MAX_ITEMS, der_form::decrypt};
use crate::algorithm::hash_of;
use crate::cert::Certificate;
use crate::crl::Crl;
use crate::oid;
use crypto::password::{MAX_ITERATIONS, pkcs12_encrypt, pkcs12_mac, same_mac};
use crypto::sign::{Hash, PrivateKey, digest};
use der::asn1::{Any, AnyRef, BmpString, ObjectIdentifier, OctetString, OctetStringRef, SetOfVec};
use der::{Decode, Encode, Sequence, ValueOrd};
use spki::AlgorithmIdentifierOwned;

const WHAT: &str = "the PKCS#12 file";
const MALFORMED: ContainerError = ContainerError::Malformed("PKCS#12");
/// Bags in bags in bags: more is a trick.
const MAX_DEPTH: u8 = 4;
/// As OpenSSL writes them.
const ITERATIONS: u32 = 2048;

#[derive(Sequence)]
struct Pfx {
    version: u8,
    auth_safe: ContentInfo,
    mac_data: Option<MacData>,
}

#[derive(Sequence)]
struct ContentInfo {
    content_type: ObjectIdentifier,
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT", optional = "true")]
    content: Option<Any>,
}

#[derive(Sequence)]
struct MacData {
    mac: DigestInfo,
    salt: OctetString,
    #[asn1(default = "one")]
    iterations: u32,
}

fn one() -> u32 {
    1
}

#[derive(Sequence)]
struct DigestInfo {
    algorithm: AlgorithmIdentifierOwned,
    digest: OctetString,
}

#[derive(Sequence)]
struct EncryptedData {
    version: u8,
    content: EncryptedContent,
}

#[derive(Sequence)]
struct EncryptedContent {
    content_type: ObjectIdentifier,
    algorithm: AlgorithmIdentifierOwned,
    #[asn1(context_specific = "0", tag_mode = "IMPLICIT", optional = "true")]
    content: Option<OctetString>,
}

#[derive(Sequence)]
struct SafeBag {
    id: ObjectIdentifier,
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT")]
    value: Any,
    attributes: Option<SetOfVec<Attribute>>,
}

#[derive(Clone, Sequence, ValueOrd)]
struct Attribute {
    id: ObjectIdentifier,
    values: SetOfVec<Any>,
}

#[derive(Sequence)]
struct TypedBag {
    id: ObjectIdentifier,
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT")]
    value: OctetString,
}

#[derive(Sequence)]
struct ShroudedKey {
    algorithm: AlgorithmIdentifierOwned,
    data: OctetString,
}

/// Reads a file; its MAC is checked first, so nothing of it is looked at that its password does not vouch for.
pub(super) fn read(der: &[u8], password: Option<&str>) -> Result<Vec<Item>, ContainerError> {
    let pfx = Pfx::from_der(der).map_err(|_| MALFORMED)?;
    if pfx.version != 3 {
        return Err(MALFORMED);
    }
    if pfx.auth_safe.content_type != oid::PKCS7_DATA {
        return Err(ContainerError::unsupported("PKCS#12 with a signature", "a password must protect it"));
    }
    let content = octets(pfx.auth_safe.content.as_ref())?;
    let mac = pfx
        .mac_data
        .ok_or_else(|| ContainerError::unsupported("PKCS#12 without a MAC", "nothing protects it"))?;
    let hash = hash_of(&mac.mac.algorithm).ok_or_else(|| {
        ContainerError::unsupported(
            format!("a MAC with {}", mac.mac.algorithm.oid),
            "SHA-1 and SHA-2 with HMAC are",
        )
    })?;
    if mac.iterations > MAX_ITERATIONS {
        return Err(ContainerError::unsupported(
            "so many iterations",
            format!("{MAX_ITERATIONS} are the limit"),
        ));
    }
    let password = password.ok_or(ContainerError::NeedsPassword(WHAT))?;
    let own = pkcs12_mac(hash, password, mac.salt.as_bytes(), mac.iterations, &content).ok_or(MALFORMED)?;
    if !same_mac(&own, mac.mac.digest.as_bytes()) {
        return Err(ContainerError::WrongPassword(WHAT));
    }
    let mut items = Vec::new();
    for info in Vec::<ContentInfo>::from_der(&content).map_err(|_| MALFORMED)? {
        match info.content_type {
            oid::PKCS7_DATA => bags(&octets(info.content.as_ref())?, password, &mut items, 0)?,
            oid::PKCS7_ENCRYPTED => {
                let data: EncryptedData =
                    info.content.as_ref().ok_or(MALFORMED)?.decode_as().map_err(|_| MALFORMED)?;
                let cipher = data.content.content.ok_or(MALFORMED)?;
                let clear = decrypt(&data.content.algorithm, cipher.as_bytes(), password, WHAT)?;
                bags(clear.as_slice(), password, &mut items, 0)?;
            }
            other => {
                return Err(ContainerError::unsupported(
                    format!("PKCS#12 content of type {other}"),
                    "only passwords protect what is read here",
                ));
            }
        }
    }
    Ok(items)
}

fn octets(content: Option<&Any>) -> Result<Vec<u8>, ContainerError> {
    let content: &OctetStringRef = content.ok_or(MALFORMED)?.decode_as().map_err(|_| MALFORMED)?;
    Ok(content.as_bytes().to_vec())
}

fn bags(der: &[u8], password: &str, items: &mut Vec<Item>, depth: u8) -> Result<(), ContainerError> {
    for bag in Vec::<SafeBag>::from_der(der).map_err(|_| MALFORMED)? {
        if items.len() >= MAX_ITEMS {
            return Err(ContainerError::TooLarge);
        }
        match bag.id {
            oid::KEY_BAG => {
                let key = bag.value.to_der().map_err(|_| MALFORMED)?;
                items.push(Item::PrivateKey(PrivateKey::from_pkcs8(&key)?));
            }
            oid::SHROUDED_KEY_BAG => {
                let key: ShroudedKey = bag.value.decode_as().map_err(|_| MALFORMED)?;
                let clear = decrypt(&key.algorithm, key.data.as_bytes(), password, WHAT)?;
                items.push(Item::PrivateKey(PrivateKey::from_pkcs8(clear.as_slice())?));
            }
            oid::CERT_BAG => {
                let cert: TypedBag = bag.value.decode_as().map_err(|_| MALFORMED)?;
                if cert.id != oid::X509_CERT {
                    return Err(ContainerError::unsupported("a certificate that is not X.509", "X.509 is"));
                }
                items.push(Item::Certificate(Certificate::from_der(cert.value.as_bytes())?));
            }
            oid::CRL_BAG => {
                let crl: TypedBag = bag.value.decode_as().map_err(|_| MALFORMED)?;
                if crl.id != oid::X509_CRL {
                    return Err(ContainerError::unsupported("a CRL that is not X.509", "X.509 is"));
                }
                items.push(Item::Crl(Box::new(Crl::from_der(crl.value.as_bytes())?)));
            }
            oid::SAFE_BAG if depth < MAX_DEPTH => {
                let nested = bag.value.to_der().map_err(|_| MALFORMED)?;
                bags(&nested, password, items, depth.saturating_add(1))?;
            }
            other => {
                return Err(ContainerError::unsupported(
                    format!("a PKCS#12 bag of type {other}"),
                    "keys, certificates and CRLs are",
                ));
            }
        }
    }
    Ok(())
}

/// How a file is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protection {
    /// PBES2 with AES-256, MAC with SHA-256.
    Modern,
    /// Triple DES and SHA-1, for importers that know nothing newer (Apple's, Windows before 10 1709).
    Compatible,
}

/// Salt and number of iterations of the schemes of PKCS#12 (RFC 7292 C).
#[derive(Sequence)]
struct PbeParameters {
    salt: OctetString,
    iterations: u32,
}

/// Writes a key (PKCS#8 DER) and its certificates, the key's own first. `random` is for salts and IVs.
///
/// # Errors
/// [`ContainerError`] when something cannot be encoded.
pub fn write(
    key: &[u8],
    certificates: &[Certificate],
    name: &str,
    password: &str,
    protection: Protection,
    random: &mut crypto::Rng,
) -> Result<Vec<u8>, ContainerError> {
    let encrypt = |data: &[u8], random: &mut crypto::Rng| match protection {
        Protection::Modern => encrypt(data, password, random),
        Protection::Compatible => encrypt_compatibly(data, password, random),
    };
    let attributes = |first: bool| -> Result<Option<SetOfVec<Attribute>>, ContainerError> {
        let Some(own) = certificates.first().filter(|_| first) else {
            return Ok(None);
        };
        let id = OctetString::new(digest(Hash::Sha1, &[own.der()])).map_err(|_| MALFORMED)?;
        let name = BmpString::from_utf8(name).map_err(|_| MALFORMED)?;
        let attribute = |id, value: Any| -> Result<Attribute, ContainerError> {
            Ok(Attribute { id, values: SetOfVec::try_from(vec![value]).map_err(|_| MALFORMED)? })
        };
        let list =
            vec![attribute(oid::LOCAL_KEY_ID, any(&id)?)?, attribute(oid::FRIENDLY_NAME, any(&name)?)?];
        Ok(Some(SetOfVec::try_from(list).map_err(|_| MALFORMED)?))
    };
    let mut cert_bags = Vec::new();
    for (index, certificate) in certificates.iter().enumerate() {
        let value = OctetString::new(certificate.der()).map_err(|_| MALFORMED)?;
        let value = any(&TypedBag { id: oid::X509_CERT, value })?;
        cert_bags.push(SafeBag { id: oid::CERT_BAG, value, attributes: attributes(index == 0)? });
    }
    let (algorithm, data) = encrypt(&cert_bags.to_der().map_err(|_| MALFORMED)?, random)?;
    let encrypted = EncryptedData {
        version: 0,
        content: EncryptedContent { content_type: oid::PKCS7_DATA, algorithm, content: Some(data) },
    };
    let (algorithm, data) = encrypt(key, random)?;
    let key_bags = vec![SafeBag {
        id: oid::SHROUDED_KEY_BAG,
        value: any(&ShroudedKey { algorithm, data })?,
        attributes: attributes(true)?,
    }];
    let infos = vec![
        ContentInfo { content_type: oid::PKCS7_ENCRYPTED, content: Some(any(&encrypted)?) },
        data_info(key_bags.to_der().map_err(|_| MALFORMED)?)?,
    ];
    let content = infos.to_der().map_err(|_| MALFORMED)?;
    let salt = random.bytes(16);
    let (hash, hash_oid) = match protection {
        Protection::Modern => (Hash::Sha256, oid::SHA256),
        Protection::Compatible => (Hash::Sha1, oid::SHA1),
    };
    let mac = pkcs12_mac(hash, password, &salt, ITERATIONS, &content).ok_or(MALFORMED)?;
    let pfx = Pfx {
        version: 3,
        auth_safe: data_info(content)?,
        mac_data: Some(MacData {
            mac: DigestInfo {
                algorithm: AlgorithmIdentifierOwned { oid: hash_oid, parameters: Some(AnyRef::NULL.into()) },
                digest: OctetString::new(mac).map_err(|_| MALFORMED)?,
            },
            salt: OctetString::new(salt).map_err(|_| MALFORMED)?,
            iterations: ITERATIONS,
        }),
    };
    pfx.to_der().map_err(|_| MALFORMED)
}

fn any<T: der::Tagged + der::EncodeValue>(value: &T) -> Result<Any, ContainerError> {
    Any::encode_from(value).map_err(|_| MALFORMED)
}

fn data_info(content: Vec<u8>) -> Result<ContentInfo, ContainerError> {
    let content = OctetString::new(content).map_err(|_| MALFORMED)?;
    Ok(ContentInfo { content_type: oid::PKCS7_DATA, content: Some(any(&content)?) })
}

fn encrypt(
    data: &[u8],
    password: &str,
    random: &mut crypto::Rng,
) -> Result<(AlgorithmIdentifierOwned, OctetString), ContainerError> {
    let mut iv = [0; 16];
    random.fill(&mut iv);
    let salt = random.bytes(16);
    let params = pkcs5::pbes2::Parameters::generate_pbkdf2_sha256_aes256cbc(ITERATIONS, &salt, iv)
        .map_err(|_| MALFORMED)?;
    let data = params.encrypt(password, data).map_err(|_| MALFORMED)?;
    let scheme = pkcs5::EncryptionScheme::from(params).to_der().map_err(|_| MALFORMED)?;
    let algorithm = AlgorithmIdentifierOwned::from_der(&scheme).map_err(|_| MALFORMED)?;
    Ok((algorithm, OctetString::new(data).map_err(|_| MALFORMED)?))
}

fn encrypt_compatibly(
    data: &[u8],
    password: &str,
    random: &mut crypto::Rng,
) -> Result<(AlgorithmIdentifierOwned, OctetString), ContainerError> {
    let salt = random.bytes(8);
    let data = pkcs12_encrypt(password, &salt, ITERATIONS, data).ok_or(MALFORMED)?;
    let salt = OctetString::new(salt).map_err(|_| MALFORMED)?;
    let parameters = any(&PbeParameters { salt, iterations: ITERATIONS })?;
    let algorithm = AlgorithmIdentifierOwned { oid: oid::PBE_SHA1_3DES, parameters: Some(parameters) };
    Ok((algorithm, OctetString::new(data).map_err(|_| MALFORMED)?))
}
