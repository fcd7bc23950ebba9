//! ESP packets that others published, opened as they came off the wire.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

#[path = "sample/sample.rs"]
mod sample;

use crypto::Secret;
use esp::{Drop, HEADROOM, InSa, Packet};
use policy::{ChildSa, Mode};
use wire::iana::{Encr, Integ};
use wire::ip::IPV4_LEN;

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<char> = text.chars().filter(|c| !c.is_whitespace()).collect();
    digits.chunks(2).map(|two| u8::from_str_radix(&two.iter().collect::<String>(), 16).unwrap()).collect()
}

/// An inbound SA for this key (salt included) and SPI, expecting `sequence` next.
fn receiver(
    encr: (Encr, u16),
    mode: Mode,
    key: &[u8],
    spi: u32,
    esn: bool,
    sequence: u64,
) -> (ChildSa, InSa) {
    let (_, mut child) = sample::pair((encr.0, encr.1, Integ::None), mode, |_| {});
    (child.spi_in, child.esn, child.encap) = (spi, esn, false);
    child.keys_in.encr = Secret::new(key.to_vec());
    let sa = InSa::resumed(&child, sequence - 1).unwrap();
    (child, sa)
}

fn open(child: &ChildSa, sa: &InSa, packet: &[u8]) -> Result<Vec<u8>, Drop> {
    let mut memory = [&[0; HEADROOM], packet].concat();
    let end = memory.len();
    let mut packet = Packet::new(&mut memory, HEADROOM..end).unwrap();
    sa.open(&mut packet, child.remote, 0, 1)?;
    Ok(packet.bytes().to_vec())
}

/// RFC 7634 appendix A: an ICMP echo in tunnel mode.
#[test]
fn chacha20poly1305_of_rfc_7634() {
    let key = hex("808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9fa0a1a2a3");
    let packet = hex("01020304 00000005 1011121314151617
        24039428b97f417e3c13753a4f05087b67c352e6a7fab1b982d466ef407ae5c614ee8099d52844eb61aa95dfab4c02f7
        2aa71e7c4c4f64c9befe2facc638e8f3cbec163fac469b502773f6fb94e664da9165b82829f641e0
        76aaa8266b7fb0f7b11b369907e1ad43");
    let inner =
        hex("45000054a6f200004001e778c6336405c000020508005b7a3a080000553bec100007362708090a0b0c0d0e0f
        101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f3031323334353637");
    let (child, sa) = receiver((Encr::ChaCha20Poly1305, 0), Mode::Tunnel, &key, 0x0102_0304, false, 5);
    assert_eq!(open(&child, &sa, &packet).unwrap(), inner);
    assert_eq!(open(&child, &sa, &packet).unwrap_err(), Drop::Replay);
}

/// draft-mcgrew-gcm-test-01, section 4: key, salt and IV, SPI with sequence number, plaintext with trailer,
/// ciphertext, ICV. With twelve bytes of SPI and number the numbers are extended. Left out is the one case with SPI
/// 0, which RFC 4303 2.1 keeps for local use.
const GCM: &[[&str; 6]] = &[
    [
        "4c80cdefbb5d10da906ac73c3613a634",
        "2e443b684956ed7e3b244cfe",
        "000043218765432100000000",
        "45000048699a000080114db7c0a80102c0a801010a9bf15638d301000001000000000000045f736970045f7564700373697009\
         63796265726369747902646b000021000101020201",
        "fecf537e729d5b07dc30df528dd22b768d1b98736696a6fd348509fa13ceac34cfa2436f14a3f3cf65925bf1f4a13c5d15b21e\
         1884f5ff6247aeabb786b93bce61bc17d768fd9732",
        "459018148f6cbe722fd04796562dfdb4",
    ],
    [
        "feffe9928665731c6d6a8f9467308308",
        "cafebabefacedbaddecaf888",
        "0000a5f80000000a",
        "4500003e698f000080114dccc0a80102c0a801010a980035002a2343b2d0010000010000000000000373697009637962657263\
         69747902646b00000100010001",
        "deb22cd9b07c72c16e3a65beeb8df304a5a5897d33ae530f1ba76d5d114d2a5c3de81827c10e9a4f51330d0eec416642cfbb85\
         a5b47e48a4ec3b9ba95d918bd1",
        "83b70d3aa8bc6ee4c309e9d85a41ad4a",
    ],
    [
        "abbccddef00112233445566778899aababbccddef00112233445566778899aab",
        "112233440102030405060708",
        "4a2cbfe300000002",
        "4500003069a6400080062690c0a801029389155e0a9e008b2dc57ee0000000007002400020bf0000020405b401010402010202\
         01",
        "ff425c9b724599df7a3bcd510194e00d6a78107f1b0b1cbf06efae9d65a5d763748a637985771d347f0545659f14e99def842d\
         8e",
        "b335f4eecfdbf831824b4c4915956c96",
    ],
    [
        "3de09874b388e6491988d0c3607eae1f",
        "57690e434e280000a2fca1a3",
        "42f67e3f1010101010101010",
        "4500003c99c300008001cb7c40679318010101010800085c020043006162636465666768696a6b6c6d6e6f7071727374757677\
         61626364656667686901020201",
        "fba2caa4853cf9f0f22cb10d86dd83b0fec75691cf1a04b00d1138ec9c35791765acbd8701ad79845bf9fe3fba487bc91755e6\
         662b4c8d0d1f5e22739530320a",
        "e0d731cc978ecafaeae88f00e80d6e48",
    ],
    [
        "3de09874b388e6491988d0c3607eae1f",
        "57690e434e280000a2fca1a3",
        "42f67e3f1010101010101010",
        "4500001c42a200008001441f406793b6e00000020a00f5ff01020201",
        "fba2ca845e5df9f0f22c3e6e86dd831e1fc65792cd1af9130e1379ed",
        "369f071f35e034be95f112e4e7d05d35",
    ],
    [
        "feffe9928665731c6d6a8f9467308308feffe9928665731c",
        "cafebabefacedbaddecaf888",
        "0000a5f80000000a",
        "45000028a4ad4000400678800a01038f0a010612802306b8cb712602dd6bb03e501016d075680001",
        "a5b1f8066029aea40e598b8122de02420938b3ab33f828e687b8858b5bfbdbd0315b27452144cc77",
        "95457b9652037f5318027b5b4cd7a636",
    ],
    [
        "abbccddef00112233445566778899aab",
        "decaf888cafedebaceface74",
        "000001000000000000000001",
        "4500004933ba00007f119106c3fb1d10c2b1d326c02831ce0035dd7b800302d500004e20001e8c18d75b81dc91baa0476b91b9\
         24b280389d92c963bac046ec959b6266c04722b14923010101",
        "18a6fd42f72cbf4ab2a2ea901f73d814e3e7f243d95412e1c349c1d2fbec168f9190feebaf2cb01984e65863965d7472b79da3\
         45e0e780191f0d2f0e0f496c226f2127b27db35724e7845d68",
        "651f57e65f354f75ff17015769623436",
    ],
    [
        "abbccddef00112233445566778899aababbccddef00112233445566778899aab",
        "73616c74616e640169766563",
        "17405e67156f3126dd0db99b",
        "45080028732c00004006e9f90a0106120a01038f06b88023dd6bafbecb71260250101f646d540001",
        "f2d69ecdbd5a0d5b8d5ef38bad4da58d1f278fde98ef67549d524a3018d9a57ff4d3a31ce673119e",
        "451626c2415771e3b7eebca614c89b35",
    ],
    [
        "3de09874b388e6491988d0c3607eae1f",
        "57690e434e280000a2fca1a3",
        "42f67e3f1010101010101010",
        "45000049333e00007f119182c3fb1d10c2b1d326c02831ce0035cb458003025b000001e0001e8c18d65759d52284a0352c7147\
         5c8880391c764d6e5ee0496b325ae270c03899493915010101",
        "fba2cad12fc1f9f00d3cebf305410db83d7784b607323d220f24b0a97d54182800cadb0f68d99ef0e0c0c89ae9bea8884e52d6\
         5bc1afd0740f742444747b5b39ab533163aad4550ee5160975",
        "cdb608c5769189609763b8e18caa81e2",
    ],
    [
        "7d773d00c144c525ac619d18c84a3f47",
        "d966426743457e9182443bc6",
        "335467aeffffffff",
        "01020201",
        "437f866b",
        "cb3f699fe9b0822bac961c4504bef270",
    ],
    [
        "6c6567616c697a656d6172696a75616e61616e64646f69746265666f72656961",
        "7475726e333021696765746d",
        "796b6963ffffffffffffffff",
        "45000030da3a00008001df3bc0a80005c0a800010800c6cd020007006162636465666768696a6b6c6d6e6f7071727374010202\
         01",
        "f97ab2aa356d8edce17644ac8c78e25dd24dedbb29ebf1b64a274b39b49c3a864cd3d78ca4ae68a32b42458fb57dbe821dcc63\
         b9",
        "d0937ba2945f669368661a329fb4c053",
    ],
];

/// The vectors name ICMP or something arbitrary as the next header: what the transport mode of an SA takes.
#[test]
fn aes_gcm_of_the_mcgrew_draft() {
    for [key, nonce, header, plain, cipher, icv] in GCM {
        let (key, nonce, header, plain) = (hex(key), hex(nonce), hex(header), hex(plain));
        let (salt, iv) = nonce.split_at(4);
        let word = |at: usize| u32::from_be_bytes(header[at..at + 4].try_into().unwrap());
        let esn = header.len() == 12;
        let (spi, sequence) = match esn {
            true => (word(0), u64::from(word(4)) << 32 | u64::from(word(8))),
            false => (word(0), word(4).into()),
        };
        let bits = u16::try_from(key.len() * 8).unwrap();
        let keyed = [&key, salt].concat();
        let (child, sa) = receiver((Encr::AesGcm16, bits), Mode::Transport, &keyed, spi, esn, sequence);
        let low = &header[header.len() - 4..];
        let packet = [&header[..4], low, iv, &hex(cipher), &hex(icv)].concat();
        let opened = open(&child, &sa, &packet).unwrap();
        let [payload @ .., pad, next] = plain.as_slice() else { panic!() };
        let payload = &payload[..payload.len() - usize::from(*pad)];
        assert_eq!(opened[IPV4_LEN..], *payload, "SPI {spi:#x}");
        assert_eq!(opened[9], *next, "SPI {spi:#x}");

        let mut forged = packet.clone();
        *forged.last_mut().unwrap() ^= 1;
        let (child, sa) = receiver((Encr::AesGcm16, bits), Mode::Transport, &keyed, spi, esn, sequence);
        assert_eq!(open(&child, &sa, &forged).unwrap_err(), Drop::Integrity);
    }
}
