//! PEM (RFC 7468), also with the headers of its older form (RFC 1421).
use super::{ContainerError, Item, der_form};
use crypto::password::pem_decrypt;
use data_encoding::{BASE64, HEXUPPER_PERMISSIVE};

const BEGIN: &str = "-----BEGIN ";
const END: &str = "-----END ";

/// One block.
pub(super) struct Block {
    label: String,
    headers: Vec<(String, String)>,
    data: Vec<u8>,
}

impl Block {
    pub(super) fn into_data(self) -> Vec<u8> {
        self.data
    }
}

/// The blocks of a text; `None` if there is none.
pub(super) fn read(bytes: &[u8]) -> Result<Option<Vec<Block>>, ContainerError> {
    let bad = ContainerError::Malformed("PEM");
    if !bytes.windows(BEGIN.len()).any(|w| w == BEGIN.as_bytes()) {
        return Ok(None);
    }
    // What is not text stands outside of blocks (OpenSSL's "Bag Attributes"), or fails as base64 below.
    let text = String::from_utf8_lossy(bytes);
    let mut blocks = Vec::new();
    let mut current: Option<(Block, String)> = None;
    for line in text.lines() {
        let line = line.trim();
        match &mut current {
            None => {
                if let Some(label) = line.strip_prefix(BEGIN).and_then(|l| l.strip_suffix("-----")) {
                    let block = Block { label: label.to_owned(), headers: Vec::new(), data: Vec::new() };
                    current = Some((block, String::new()));
                }
            }
            Some((block, body)) => {
                if let Some(label) = line.strip_prefix(END).and_then(|l| l.strip_suffix("-----")) {
                    if label != block.label {
                        return Err(bad);
                    }
                    block.data = BASE64.decode(body.as_bytes()).map_err(|_| bad.clone())?;
                    blocks.extend(current.take().map(|(block, _)| block));
                } else if let Some((key, value)) = line.split_once(':') {
                    block.headers.push((key.trim().to_owned(), value.trim().to_owned()));
                } else {
                    body.extend(line.chars().filter(|c| !c.is_whitespace()));
                }
            }
        }
    }
    if current.is_some() { Err(bad) } else { Ok(Some(blocks)) }
}

/// What is in a block.
pub(super) fn items(
    block: &Block,
    password: Option<&str>,
    items: &mut Vec<Item>,
) -> Result<(), ContainerError> {
    let header =
        |name: &str| block.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    let decrypted;
    let mut der = block.data.as_slice();
    if header("Proc-Type").is_some_and(|v| v.contains("ENCRYPTED")) {
        let what = "the private key";
        let info = header("DEK-Info").ok_or(ContainerError::Malformed("PEM"))?;
        let (cipher, iv) = info.split_once(',').ok_or(ContainerError::Malformed("PEM"))?;
        let iv =
            HEXUPPER_PERMISSIVE.decode(iv.trim().as_bytes()).map_err(|_| ContainerError::Malformed("PEM"))?;
        if !matches!(cipher, "DES-CBC" | "DES-EDE3-CBC" | "AES-128-CBC" | "AES-192-CBC" | "AES-256-CBC") {
            return Err(ContainerError::unsupported(
                format!("PEM encrypted with {cipher}"),
                "DES, 3DES and AES in CBC mode are",
            ));
        }
        let password = password.ok_or(ContainerError::NeedsPassword(what))?;
        decrypted =
            pem_decrypt(cipher, &iv, password.as_bytes(), der).ok_or(ContainerError::WrongPassword(what))?;
        der = decrypted.as_slice();
        // Padding may be right by chance; a key it is not.
        return match der_form::private_key(&block.label, der, None)? {
            Some(key) => {
                items.push(Item::PrivateKey(key));
                Ok(())
            }
            None => Err(ContainerError::WrongPassword(what)),
        };
    }
    match block.label.as_str() {
        "PRIVATE KEY" | "ENCRYPTED PRIVATE KEY" | "RSA PRIVATE KEY" | "EC PRIVATE KEY" => {
            let key = der_form::private_key(&block.label, der, password)?;
            items.push(Item::PrivateKey(key.ok_or(ContainerError::Malformed("private key"))?));
        }
        // OpenSSL writes the curve before the key.
        "EC PARAMETERS" | "DH PARAMETERS" => {}
        "CERTIFICATE REQUEST" | "NEW CERTIFICATE REQUEST" => {
            return Err(ContainerError::unsupported("a certificate request", "it is no credential"));
        }
        "OPENSSH PRIVATE KEY" => {
            return Err(ContainerError::unsupported(
                "OpenSSH's form of private keys",
                "PKCS#8 is (ssh-keygen -p -m PKCS8)",
            ));
        }
        "ATTRIBUTE CERTIFICATE" => {
            return Err(ContainerError::unsupported("an attribute certificate here", "it is loaded as one"));
        }
        _ => items.extend(der_form::items(der, password)?),
    }
    Ok(())
}
