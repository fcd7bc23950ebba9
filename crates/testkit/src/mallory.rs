//! A road warrior with the right secret and bad intentions: it completes the handshake by itself, without an engine,
//! and then says whatever it is told to, properly encrypted.
use crypto::{IkeCipher, Rng, Secret, ke, prf};
use ike::io::Datagram;
use std::net::SocketAddr;
use wire::iana::{
    AuthMethod, ConfigAttribute, ConfigType, Encr, ExchangeType, IdType, Integ, Ke, PayloadType, Prf,
    ProtocolId, TransformType,
};
use wire::ike::{
    Auth, ConfigAttr, Cp, Flags, Header, Id, KeyExchange, Message, Payload, Proposal, Sa, Transform, Ts,
    TsSelector, encode_chain, parse_chain,
};

const PRF: Prf = Prf::HmacSha256;
const CIPHER: (Encr, u16) = (Encr::AesGcm16, 128);

/// See the head of the file. Speaks AES-GCM-128, PRF SHA-256 and X25519.
#[derive(Debug)]
pub struct Mallory {
    local: SocketAddr,
    remote: SocketAddr,
    spi_i: u64,
    spi_r: u64,
    ni: Vec<u8>,
    nr: Vec<u8>,
    pending: ke::Pending,
    first: Vec<u8>,
    keys: Option<Keys>,
    next: u32,
    iv: u64,
}

#[derive(Debug)]
struct Keys {
    /// Of what we send.
    out: IkeCipher,
    /// Of what we get.
    back: IkeCipher,
    pi: Secret,
}

impl Mallory {
    /// Before the first word. `local` as the victim sees it.
    #[must_use]
    pub fn new(rng: &mut Rng, local: SocketAddr, remote: SocketAddr) -> Self {
        Self {
            local,
            remote,
            spi_i: rng.u64() | 1,
            spi_r: 0,
            ni: rng.bytes(32),
            nr: Vec::new(),
            pending: ke::start(Ke::X25519, rng).expect("X25519 is there"),
            first: Vec::new(),
            keys: None,
            next: 0,
            iv: 0,
        }
    }

    /// IKE_SA_INIT.
    pub fn hello(&mut self) -> Datagram {
        let t = |kind, id: u16, key_bits| Transform { kind, id, key_bits };
        let proposal = Proposal {
            number: 1,
            protocol: ProtocolId::Ike,
            spi: Vec::new(),
            transforms: vec![
                t(TransformType::Encr, CIPHER.0.into(), Some(CIPHER.1)),
                t(TransformType::Prf, PRF.into(), None),
                t(TransformType::Ke, Ke::X25519.into(), None),
            ],
        };
        let payloads = [
            Payload::Sa(Sa { proposals: vec![proposal] }),
            Payload::Ke(KeyExchange { method: Ke::X25519, data: self.pending.public().to_vec() }),
            Payload::Nonce(self.ni.clone()),
        ];
        self.first = Message::encode(self.header(ExchangeType::IkeSaInit, 0, false), &payloads);
        self.next = 1;
        self.datagram(self.first.clone())
    }

    /// The victim's IKE_SA_INIT response; `None` if it is none.
    pub fn greeted(&mut self, bytes: &[u8]) -> Option<()> {
        let message = Message::parse(bytes).ok()?;
        self.spi_r = message.header.spi_r;
        let mut shared = None;
        for payload in message.payloads {
            match payload {
                Payload::Ke(key) => shared = self.pending.finish(&key.data).ok(),
                Payload::Nonce(nonce) => self.nr = nonce,
                _ => {}
            }
        }
        let seed =
            prf::compute(PRF, &[self.ni.clone(), self.nr.clone()].concat(), &[shared?.as_slice()]).ok()?;
        let spis = [self.spi_i.to_be_bytes(), self.spi_r.to_be_bytes()];
        let all = prf::plus(PRF, seed.as_slice(), &[&self.ni, &self.nr, &spis[0], &spis[1]], 3 * 32 + 2 * 20)
            .ok()?;
        let (_, rest) = all.split_at(32);
        let (ei, rest) = rest.split_at(20);
        let (er, rest) = rest.split_at(20);
        let (pi, _) = rest.split_at(32);
        let cipher = |key: &Secret| IkeCipher::new(CIPHER.0, CIPHER.1, Integ::None, key.as_slice(), &[]).ok();
        self.keys = Some(Keys { out: cipher(&ei)?, back: cipher(&er)?, pi });
        Some(())
    }

    /// IKE_AUTH with this identity and secret, for one CHILD_SA with inbound SPI `spi`.
    pub fn introduce(&mut self, identity: &str, secret: &[u8], spi: u32) -> Option<Datagram> {
        let id = Id { kind: IdType::Fqdn, data: identity.as_bytes().to_vec() };
        let keys = self.keys.as_ref()?;
        let signed = prf::compute(PRF, keys.pi.as_slice(), &[&id.body()]).ok()?;
        let pad = prf::compute(PRF, secret, &[b"Key Pad for IKEv2"]).ok()?;
        let auth = prf::compute(PRF, pad.as_slice(), &[&self.first, &self.nr, signed.as_slice()]).ok()?;
        let mut payloads = vec![
            Payload::IdI(id),
            Payload::Auth(Auth { method: AuthMethod::Psk, data: auth.as_slice().to_vec() }),
        ];
        let address = ConfigAttr { kind: ConfigAttribute::Ip4Address, value: Vec::new() };
        payloads.push(Payload::Cp(Cp { kind: ConfigType::Request, attributes: vec![address] }));
        payloads.extend(child_payloads(spi));
        let (first, chain) = encode_chain(&payloads);
        Some(self.request(ExchangeType::IkeAuth, first, &chain))
    }

    /// A request that says `chain`, which begins with a payload of type `first`.
    pub fn request(&mut self, exchange: ExchangeType, first: PayloadType, chain: &[u8]) -> Datagram {
        let id = self.next;
        self.next += 1;
        self.sealed(self.header(exchange, id, false), first, chain)
    }

    /// Goes back, as the victim did not take the last request.
    pub fn forget_request(&mut self) {
        self.next = self.next.saturating_sub(1);
    }

    /// A response to the victim's request with that header.
    pub fn respond(&mut self, to: &Header, first: PayloadType, chain: &[u8]) -> Datagram {
        self.sealed(self.header(to.exchange, to.message_id, true), first, chain)
    }

    /// What the victim said.
    #[must_use]
    pub fn open(&self, bytes: &[u8]) -> Option<(Header, Vec<Payload>)> {
        let message = Message::parse(bytes).ok()?;
        if (message.header.spi_i, message.header.spi_r) != (self.spi_i, self.spi_r) {
            return None;
        }
        let sealed = message.sealed.filter(|s| s.fragment.is_none())?;
        let mut bytes = bytes.to_vec();
        let plain = self.keys.as_ref()?.back.open(&mut bytes, sealed.aad.end).ok()?;
        Some((message.header, parse_chain(sealed.inner, &bytes[plain]).ok()?))
    }

    fn sealed(&mut self, header: Header, first: PayloadType, chain: &[u8]) -> Datagram {
        let keys = self.keys.as_ref().expect("the handshake is done");
        self.iv += 1;
        let mut bytes = Message::encode_sealed(header, first, None, keys.out.body_len(chain.len()));
        let head = Header::LEN + 4;
        // What is too long for one message is not said.
        if keys.out.seal(&mut bytes, head, chain, &self.iv.to_be_bytes()).is_err() {
            bytes.truncate(head);
        }
        self.datagram(bytes)
    }

    fn header(&self, exchange: ExchangeType, message_id: u32, response: bool) -> Header {
        Header {
            spi_i: self.spi_i,
            spi_r: self.spi_r,
            next: PayloadType::None,
            major: 2,
            minor: 0,
            exchange,
            flags: if response { Flags::INITIATOR | Flags::RESPONSE } else { Flags::INITIATOR },
            message_id,
            length: 0,
        }
    }

    /// As the victim receives it.
    fn datagram(&self, bytes: Vec<u8>) -> Datagram {
        Datagram { local: self.remote, remote: self.local, bytes, dscp: 0 }
    }
}

/// `SA TSi TSr` of a CHILD_SA as the victim's gateway takes it.
#[must_use]
pub fn child_payloads(spi: u32) -> Vec<Payload> {
    let t = |kind, id, key_bits| Transform { kind, id, key_bits };
    let proposal = Proposal {
        number: 1,
        protocol: ProtocolId::Esp,
        spi: spi.to_be_bytes().to_vec(),
        transforms: vec![
            t(TransformType::Encr, CIPHER.0.into(), Some(CIPHER.1)),
            t(TransformType::Esn, 0, None),
        ],
    };
    let any = TsSelector {
        protocol: 0,
        start_port: 0,
        end_port: u16::MAX,
        start: [0, 0, 0, 0].into(),
        end: [255, 255, 255, 255].into(),
    };
    vec![
        Payload::Sa(Sa { proposals: vec![proposal] }),
        Payload::TsI(Ts { selectors: vec![any] }),
        Payload::TsR(Ts { selectors: vec![any] }),
    ]
}
