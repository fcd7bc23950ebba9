//! What pki writes: DER, PEM, hexadecimal.
use super::{Call, Trouble};
use crate::out;
use data_encoding::{BASE64, HEXLOWER};

/// `der` or `pem`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Der,
    Pem,
}

impl Form {
    pub(super) fn of(call: &Call<'_>) -> Result<Self, Trouble> {
        match call.value("outform") {
            None | Some("der") => Ok(Self::Der),
            Some("pem") => Ok(Self::Pem),
            Some(_) => Err(Trouble::usage("invalid output format")),
        }
    }

    /// Writes it to standard output.
    pub(super) fn emit(self, label: &str, der: &[u8]) {
        match self {
            Self::Der => out::bytes(der),
            Self::Pem => out::bytes(pem(label, der).as_bytes()),
        }
    }
}

/// PEM (RFC 7468).
pub(crate) fn pem(label: &str, der: &[u8]) -> String {
    let mut text = format!("-----BEGIN {label}-----\n");
    for line in BASE64.encode(der).as_bytes().chunks(64) {
        text.push_str(&String::from_utf8_lossy(line));
        text.push('\n');
    }
    text.push_str(&format!("-----END {label}-----\n"));
    text
}

/// Bytes as `0a:0b:0c`.
pub(crate) fn colons(bytes: &[u8]) -> String {
    let pairs: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    pairs.join(":")
}

/// Writes bytes as `hex`, `base64` or `bin`.
pub(super) fn raw(format: &str, bytes: &[u8]) {
    match format {
        "hex" => out::bytes(format!("{}\n", HEXLOWER.encode(bytes)).as_bytes()),
        "base64" => out::bytes(format!("{}\n", BASE64.encode(bytes)).as_bytes()),
        _ => out::bytes(bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pem_has_lines_of_64() {
        let text = pem("X", &[0; 49]);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            (lines[0], lines[1].len(), lines[2], lines[3]),
            ("-----BEGIN X-----", 64, "AA==", "-----END X-----")
        );
        assert_eq!(colons(&[0, 0xab]), "00:ab");
    }
}
