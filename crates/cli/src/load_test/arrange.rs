//! From options to a plan; and what is refused before a single packet leaves.
use super::options::{Hold, KeyKind, LoadTest, Method, Vip};
use super::papers::{self, Issued, Shelf};
use crate::exit::{BAD_CONFIG, FAILED, Failure};
use crate::load::passphrase;
use crate::out;
use crypto::Secret;
use crypto::sign::KeyType;
use loadtest::plan::{EapLogin, Papers, Shared, eap_method, esp_proposals, ike_proposals};
use loadtest::traffic::Traffic;
use loadtest::{Login, Pattern, Plan};
use pki::Store;
use policy::secrets::decode_secret;
use policy::{Identity, Selector, SelectorTemplate, VirtualIp};
use std::io::Read as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, ToSocketAddrs as _};
use std::path::Path;
use std::sync::Arc;
use zeroize::Zeroizing;

/// What a gateway with a public address gets at most, unless the operator says that it is his.
const GENTLE_CLIENTS: u32 = 1_000;
const GENTLE_RATE: f64 = 100.0;
/// A secret of more bytes is a mistake.
const MOST_SECRET: u64 = 4096;

pub(super) fn plan(args: &LoadTest) -> Result<Plan, Failure> {
    let wrong = |what: &str, why: String| Failure::new(2, format_args!("{what}: {why}"));
    let gateway = address(&args.gateway)?;
    let pattern =
        |what: &str, text: &str| Pattern::parse(text).map_err(|e| wrong(what, format!("{text}: {e}")));
    let identity = pattern("--identity", &args.identity)?;
    for number in [args.first, args.first.saturating_add(args.clients)] {
        let text = identity.of(number);
        match Identity::parse(&text) {
            Ok(id) if !id.is_pattern() => {}
            Ok(_) => return Err(wrong("--identity", format!("{text} stands for many, a client is one"))),
            Err(e) => return Err(wrong("--identity", e.to_string())),
        }
    }
    let server = Identity::parse(&args.gateway_id).map_err(|e| wrong("--gateway-id", e.to_string()))?;
    let (v4, v6) = match args.vip {
        Vip::V4 => (true, false),
        Vip::V6 => (false, true),
        Vip::Both => (true, true),
        Vip::None => (gateway.is_ipv4(), gateway.is_ipv6()),
    };
    let remote_ts = selectors(args, v4, v6)?;
    let mut vips = Vec::new();
    if args.vip != Vip::None {
        vips.extend(v4.then(|| VirtualIp::from(IpAddr::V4(Ipv4Addr::UNSPECIFIED))));
        vips.extend(v6.then(|| VirtualIp::from(IpAddr::V6(Ipv6Addr::UNSPECIFIED))));
    }
    let seconds = |time: Option<std::time::Duration>, what: &str| match time {
        None => Ok(0),
        Some(time) if time.as_secs() == 0 => Err(wrong(what, "a second is the least".to_owned())),
        Some(time) => Ok(time.as_secs()),
    };
    let mut plan = Plan {
        gateway,
        port: args.port,
        sources: args.source.clone(),
        clients: args.clients,
        first: args.first,
        rate: args.rate,
        concurrent: args.concurrent,
        lanes: args.threads.unwrap_or_else(|| threads(args.rate)),
        hold: match args.hold {
            Hold::Forever => None,
            Hold::For(time) => Some(time),
        },
        duration: args.duration,
        churn: args.churn,
        identity,
        server,
        login: Login::Psk(Shared::one(Secret::default())),
        store: Arc::default(),
        vips,
        remote_ts,
        ike: ike_proposals(&args.proposal).map_err(|e| wrong("--proposal", e))?,
        esp: esp_proposals(&args.esp_proposal).map_err(|e| wrong("--esp-proposal", e))?,
        rekey_ike: seconds(args.rekey_ike, "--rekey-ike")?,
        rekey_child: seconds(args.rekey_child, "--rekey-child")?,
        dpd: seconds(args.dpd, "--dpd")?,
        retransmit_timeout: args.retransmit_timeout.as_secs_f64(),
        retransmit_tries: args.retransmit_tries,
        encap: !args.no_encap,
        traffic: args.traffic.zip(args.target).map(|((per_second, size), (target, port))| Traffic {
            per_second,
            size,
            target,
            port,
        }),
    };
    plan.check().map_err(|e| Failure::new(2, e))?;
    spare(args, &plan)?;
    // Last, so that nobody types a secret for a plan that is refused.
    let mut store =
        Store::new(pki::Settings { enable_crl: false, enable_ocsp: false, ..pki::Settings::default() });
    plan.login = login(args, &plan, &mut store)?;
    plan.store = Arc::new(store);
    Ok(plan)
}

/// What is about to be done, in a line or two.
pub(super) fn about(plan: &Plan) -> String {
    let Plan { clients, rate, concurrent, gateway, port, .. } = plan;
    let memory = out::size(plan.memory());
    let (first, last) =
        (plan.identity.of(plan.first), plan.identity.of(plan.first.saturating_add(clients - 1)));
    format!(
        "{} clients ({first} to {last}) against {gateway} port {port}: {rate} set-ups per second, at most {concurrent} at once, {} thread{}; about {memory} of memory",
        out::count(u64::from(*clients)),
        plan.lanes,
        if plan.lanes == 1 { "" } else { "s" },
    )
}

fn threads(rate: f64) -> u8 {
    let wanted = (rate / 10_000.0).ceil().clamp(1.0, f64::from(loadtest::plan::MOST_LANES));
    let cores = std::thread::available_parallelism().map_or(1.0, |n| n.get() as f64);
    wanted.min(cores) as u8
}

fn address(gateway: &str) -> Result<IpAddr, Failure> {
    if let Ok(address) = gateway.parse() {
        return Ok(address);
    }
    let found =
        (gateway, 500).to_socket_addrs().map_err(|e| Failure::new(FAILED, format_args!("{gateway}: {e}")))?;
    found
        .map(|address| address.ip())
        .next()
        .ok_or_else(|| Failure::new(FAILED, format_args!("{gateway}: no such host")))
}

fn selectors(args: &LoadTest, v4: bool, v6: bool) -> Result<Vec<SelectorTemplate>, Failure> {
    if args.remote_ts.is_empty() {
        let all = [(v4, true), (v6, false)].into_iter().filter(|(wanted, _)| *wanted);
        return Ok(all.map(|(_, ipv4)| SelectorTemplate::Fixed(Selector::everything(ipv4))).collect());
    }
    let read = |text: &String| {
        SelectorTemplate::parse(text).map_err(|e| Failure::new(2, format_args!("--remote-ts: {text}: {e}")))
    };
    args.remote_ts.iter().map(read).collect()
}

/// The default is gentle with whoever is on the Internet.
fn spare(args: &LoadTest, plan: &Plan) -> Result<(), Failure> {
    let gentle = plan.clients <= GENTLE_CLIENTS && plan.rate <= GENTLE_RATE;
    if gentle || args.i_operate_this_gateway || is_private(plan.gateway) {
        return Ok(());
    }
    Err(Failure::new(
        2,
        format_args!(
            "{} has a public address: more than {GENTLE_CLIENTS} clients or {GENTLE_RATE} set-ups per second may hurt it",
            plan.gateway
        ),
    )
    .hint("if it is yours to load, say so: --i-operate-this-gateway"))
}

/// Not somebody else's: loopback, private and documentation networks.
fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(a) => {
            let shared = a.octets()[0] == 100 && a.octets()[1] & 0xc0 == 64;
            a.is_loopback() || a.is_private() || a.is_link_local() || a.is_documentation() || shared
        }
        IpAddr::V6(a) => {
            let documentation = a.segments()[0] == 0x2001 && a.segments()[1] == 0x0db8;
            a.is_loopback() || a.is_unique_local() || a.is_unicast_link_local() || documentation
        }
    }
}

fn login(args: &LoadTest, plan: &Plan, store: &mut Store) -> Result<Login, Failure> {
    if args.auth == Method::Psk {
        return Ok(Login::Psk(secret(args, "Pre-shared key: ")?));
    }
    let papers = papers(args, plan, store)?;
    for file in &args.ca {
        papers::trust(file, store)?;
    }
    if store.anchors().next().is_none() {
        return Err(Failure::new(2, "there is no authority to judge the gateway's certificate by")
            .hint("--ca names the file with its certificate"));
    }
    if args.auth == Method::Cert {
        let none = || {
            Failure::new(2, "the clients have no certificates").hint("--issuer and --issuer-key, or --certs")
        };
        return papers.map(Login::Cert).ok_or_else(none);
    }
    let wrong = |what: &str, why: String| Failure::new(2, format_args!("{what}: {why}"));
    let method = eap_method(&args.eap_method).map_err(|e| wrong("--eap-method", e))?;
    if method.is_tls() && papers.is_none() {
        return Err(
            Failure::new(2, "EAP-TLS needs certificates").hint("--issuer and --issuer-key, or --certs")
        );
    }
    let user = match &args.user {
        Some(text) => Pattern::parse(text).map_err(|e| wrong("--user", e.to_string()))?,
        None => plan.identity.clone(),
    };
    let server = args.aaa_id.as_deref().map(Identity::parse).transpose();
    let server = server.map_err(|e| wrong("--aaa-id", e.to_string()))?;
    let password = if method.is_tls() { None } else { Some(secret(args, "Password of the clients: ")?) };
    Ok(Login::Eap(EapLogin { method, user, password, papers, server }))
}

/// The clients' certificates, where some are named; the first is looked at, so that a mistake is seen before all fail.
fn papers(args: &LoadTest, plan: &Plan, store: &mut Store) -> Result<Option<Arc<dyn Papers>>, Failure> {
    let papers: Arc<dyn Papers> = match (&args.issuer, &args.issuer_key, &args.certs) {
        (Some(certificate), Some(key), _) => {
            let kind = match args.key_type {
                KeyKind::Ecdsa => (KeyType::P256, 0),
                KeyKind::Rsa => (KeyType::Rsa, 3072),
                KeyKind::Ed25519 => (KeyType::Ed25519, 0),
            };
            Arc::new(Issued::new(certificate, key, kind, plan.identity.clone(), store)?)
        }
        (_, _, Some(directory)) => {
            let shelf = Shelf::new(directory, plan.first, store)?;
            if shelf.len() < usize::try_from(plan.clients).unwrap_or(usize::MAX) {
                let (has, wants) = (shelf.len(), plan.clients);
                return Err(Failure::new(
                    2,
                    format_args!("{}: certificates for {has} clients, not for {wants}", directory.display()),
                ));
            }
            Arc::new(shelf)
        }
        _ => return Ok(None),
    };
    let first = papers
        .of(plan.first)
        .map_err(|e| Failure::new(BAD_CONFIG, format_args!("a client's certificate: {e}")))?;
    let identity = plan.identity.of(plan.first);
    if !papers::fits(&first, &identity) {
        return Err(Failure::new(2, format_args!("a certificate cannot name the identity {identity}")));
    }
    Ok(Some(papers))
}

/// The secret, as it stands in a file or is typed.
fn secret(args: &LoadTest, prompt: &str) -> Result<Shared, Failure> {
    let text = secret_text(args.secret_file.as_deref(), prompt)?;
    let bytes = decode_secret(text.as_bytes())
        .map_err(|e| Failure::new(BAD_CONFIG, format_args!("the secret: {e}")))?;
    let secret = Secret::new(bytes);
    if !args.secret_per_client {
        return Ok(Shared::one(secret));
    }
    Shared::each(secret).map_err(|e| Failure::new(BAD_CONFIG, format_args!("the secret as a pattern: {e}")))
}

/// The first line of a file, of standard input, or what is typed.
fn secret_text(file: Option<&Path>, prompt: &str) -> Result<Zeroizing<String>, Failure> {
    let Some(file) = file else {
        return passphrase::terminal(prompt).ok_or_else(|| {
            Failure::new(2, "there is no secret").hint("--secret-file names a file that holds it")
        });
    };
    let mut text = Zeroizing::new(String::new());
    let read = if file == Path::new("-") {
        std::io::stdin().take(MOST_SECRET).read_to_string(&mut text)
    } else {
        std::fs::File::open(file).and_then(|f| f.take(MOST_SECRET).read_to_string(&mut text))
    };
    read.map_err(|e| Failure::new(FAILED, format_args!("{}: {e}", file.display())))?;
    let line = Zeroizing::new(text.lines().next().unwrap_or_default().to_owned());
    if line.is_empty() {
        return Err(Failure::new(BAD_CONFIG, format_args!("{}: its first line is empty", file.display())));
    }
    Ok(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whose_gateway_it_may_be() {
        for own in ["127.0.0.1", "10.1.2.3", "192.0.2.1", "100.64.0.1", "fd00::1", "::1", "2001:db8::1"] {
            assert!(is_private(own.parse().unwrap()), "{own}");
        }
        for public in ["9.9.9.9", "100.128.0.1", "2620:fe::fe"] {
            assert!(!is_private(public.parse().unwrap()), "{public}");
        }
    }
}
