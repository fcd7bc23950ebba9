//! Diameter AVPs inside EAP-TTLS (RFC 5281 10).
use wire::WireError;
use wire::codec::{Reader, Writer};

const VENDOR: u8 = 0x80;
const MANDATORY: u8 = 0x40;
/// Bytes of code, flags and length; the vendor is another four.
const HEADER: usize = 8;
const VENDOR_FIELD: usize = 4;
/// AVPs in one message.
const MAX_AVPS: usize = 32;

/// Microsoft.
const MICROSOFT: u32 = 311;

/// What an AVP is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Code {
    pub(crate) vendor: u32,
    pub(crate) number: u32,
}

impl Code {
    pub(crate) const USER_NAME: Self = Self { vendor: 0, number: 1 };
    pub(crate) const USER_PASSWORD: Self = Self { vendor: 0, number: 2 };
    pub(crate) const CHAP_PASSWORD: Self = Self { vendor: 0, number: 3 };
    pub(crate) const CHAP_CHALLENGE: Self = Self { vendor: 0, number: 60 };
    pub(crate) const EAP_MESSAGE: Self = Self { vendor: 0, number: 79 };
    /// MSCHAP version 1, which is not available.
    pub(crate) const MS_CHAP_RESPONSE: Self = Self { vendor: MICROSOFT, number: 1 };
    pub(crate) const MS_CHAP_CHALLENGE: Self = Self { vendor: MICROSOFT, number: 11 };
    pub(crate) const MS_CHAP2_RESPONSE: Self = Self { vendor: MICROSOFT, number: 25 };
    pub(crate) const MS_CHAP2_SUCCESS: Self = Self { vendor: MICROSOFT, number: 26 };
}

/// An AVP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Avp<'a> {
    pub(crate) code: Code,
    pub(crate) mandatory: bool,
    pub(crate) data: &'a [u8],
}

/// Reads all AVPs. A length that is smaller than the header it counts (CVE-2026-25075), or larger than what is there, is
/// refused.
pub(crate) fn parse(bytes: &[u8]) -> Result<Vec<Avp<'_>>, WireError> {
    let mut r = Reader::new(bytes);
    let mut out = Vec::new();
    while !r.is_empty() {
        if out.len() >= MAX_AVPS {
            return Err(WireError::TooMany { what: "AVPs", limit: MAX_AVPS });
        }
        let number = r.u32("AVP code")?;
        let flags = r.u8("AVP flags")?;
        let [a, b, c] = r.array("AVP length")?;
        let length = u32::from_be_bytes([0, a, b, c]);
        let illegal = WireError::Illegal { what: "AVP length", value: u64::from(length) };
        let length = usize::try_from(length).map_err(|_| illegal.clone())?;
        let (vendor, header) =
            if flags & VENDOR == 0 { (0, HEADER) } else { (r.u32("AVP vendor")?, HEADER + VENDOR_FIELD) };
        let size = length.checked_sub(header).ok_or(illegal)?;
        let data = r.take(size, "AVP")?;
        // RFC 5281 10.1: padded to a multiple of four; some peers leave the last one unpadded.
        let padding = length.next_multiple_of(4) - length;
        r.skip(padding.min(r.len()), "AVP padding")?;
        out.push(Avp { code: Code { vendor, number }, mandatory: flags & MANDATORY != 0, data });
    }
    Ok(out)
}

/// Writes one AVP, mandatory and padded.
pub(crate) fn write(code: Code, data: &[u8]) -> Vec<u8> {
    let header = if code.vendor == 0 { HEADER } else { HEADER + VENDOR_FIELD };
    let length = header.saturating_add(data.len());
    let [_, a, b, c] = u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes();
    let mut w = Writer::new();
    w.u32(code.number).u8(MANDATORY | if code.vendor == 0 { 0 } else { VENDOR }).bytes(&[a, b, c]);
    if code.vendor != 0 {
        w.u32(code.vendor);
    }
    w.bytes(data).zeros(length.next_multiple_of(4) - length);
    w.into_vec()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_bytes() {
        let bytes = [0, 0, 0, 79, 0x40, 0, 0, 13, 2, 0, 0, 5, 1, 0, 0, 0];
        assert_eq!(write(Code::EAP_MESSAGE, &[2, 0, 0, 5, 1]), bytes);
        let avp = Avp { code: Code::EAP_MESSAGE, mandatory: true, data: &[2, 0, 0, 5, 1] };
        assert_eq!(parse(&bytes), Ok(vec![avp]));
        // Without the padding at the end.
        assert_eq!(parse(&bytes[..13]), Ok(vec![avp]));
        let ms = write(Code::MS_CHAP2_SUCCESS, b"x");
        assert_eq!(ms, [0, 0, 0, 26, 0xc0, 0, 0, 13, 0, 0, 1, 55, b'x', 0, 0, 0]);
    }

    /// CVE-2026-25075: every length below the header's.
    #[test]
    fn lengths_below_the_header_are_refused() {
        for (flags, header) in [(0, 8_u8), (0x40, 8), (0x80, 12), (0xc0, 12)] {
            for length in 0..header {
                let bytes = [0, 0, 0, 79, flags, 0, 0, length, 1, 2, 3, 4, 5, 6, 7, 8];
                assert!(parse(&bytes).is_err(), "flags {flags:x} length {length}");
            }
        }
        assert!(parse(&[0, 0, 0, 79, 0, 0xff, 0xff, 0xff, 1]).is_err());
        assert!(parse(&[0, 0, 0, 79, 0, 0, 0, 9]).is_err());
        assert!(parse(&[0; 7]).is_err());
        let many = write(Code::USER_NAME, &[]).repeat(MAX_AVPS + 1);
        assert!(parse(&many).is_err());
    }

    proptest! {
        #[test]
        fn total(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let _ = parse(&bytes);
        }

        #[test]
        fn round_trip(number in any::<u32>(), vendor in 0_u32..3, data in prop::collection::vec(any::<u8>(), 0..40)) {
            let code = Code { vendor, number };
            let bytes = [write(code, &data), write(Code::USER_NAME, b"x")].concat();
            let avps = parse(&bytes).unwrap();
            prop_assert_eq!(avps[0], Avp { code, mandatory: true, data: &data });
            prop_assert_eq!(avps.len(), 2);
        }
    }
}
