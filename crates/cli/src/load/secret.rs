//! Secrets as swanctl.conf writes them: text, `0x` hex, `0s` base64.

/// The bytes of a secret.
pub(super) fn decode(text: &[u8]) -> Result<Vec<u8>, String> {
    if let Some(hex) = text.strip_prefix(b"0x") {
        return unhex(hex)
            .ok_or_else(|| "secret begins with 0x but is no even number of hex digits".to_owned());
    }
    if let Some(base64) = text.strip_prefix(b"0s") {
        return unbase64(base64).ok_or_else(|| "secret begins with 0s but is no base64".to_owned());
    }
    Ok(text.to_vec())
}

fn unhex(text: &[u8]) -> Option<Vec<u8>> {
    let digit = |c: u8| char::from(c).to_digit(16);
    text.chunks(2)
        .map(|pair| match pair {
            [high, low] => Some((digit(*high)? * 16 + digit(*low)?) as u8),
            _ => None,
        })
        .collect()
}

fn unbase64(text: &[u8]) -> Option<Vec<u8>> {
    let text = text.strip_suffix(b"==").or_else(|| text.strip_suffix(b"=")).unwrap_or(text);
    let mut out = Vec::with_capacity(text.len() * 3 / 4);
    for group in text.chunks(4) {
        let mut bits = 0_u32;
        for &c in group {
            let value = match c {
                b'A'..=b'Z' => c - b'A',
                b'a'..=b'z' => c - b'a' + 26,
                b'0'..=b'9' => c - b'0' + 52,
                b'+' => 62,
                b'/' => 63,
                _ => return None,
            };
            bits = bits << 6 | u32::from(value);
        }
        let bytes = match group.len() {
            4 => 3,
            3 => 2,
            2 => 1,
            _ => return None,
        };
        bits <<= 6 * (4 - group.len() as u32);
        out.extend_from_slice(&bits.to_be_bytes()[1..=bytes]);
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::decode;

    #[test]
    fn three_ways_to_write_a_secret() {
        for (text, bytes) in [
            ("very secret", &b"very secret"[..]),
            ("0x666f6F", b"foo"),
            ("0x", b""),
            ("0sZm9v", b"foo"),
            ("0sZm9vYg==", b"foob"),
            ("0sZm9vYg", b"foob"),
            ("0sZm9vYmE=", b"fooba"),
            ("0s//79", &[0xff, 0xfe, 0xfd]),
        ] {
            assert_eq!(decode(text.as_bytes()).unwrap(), bytes, "{text}");
        }
        for text in ["0xf", "0xfg", "0sZ", "0sZm9$"] {
            assert!(decode(text.as_bytes()).is_err(), "{text}");
        }
    }
}
