//! Asking the daemon for pools and leases: ours streams those of every backend, charon lists the pools in memory.
use super::{Lease, Pool};
use crate::exit::{FAILED, Failure};
use config::tree::Section;
use policy::Identity;
use pool::{LeaseFilter, LeaseRow};
use std::net::IpAddr;
use vici::{Client, ClientError, Message};

/// Which pools and leases.
#[derive(Debug, Clone, Default)]
pub(crate) struct Query {
    pub(crate) pool: Option<String>,
    pub(crate) backend: Option<String>,
    /// Leases of this identity or of those that fit the pattern.
    pub(crate) identity: Option<String>,
    /// The lease of this address.
    pub(crate) address: Option<IpAddr>,
    pub(crate) online: Option<bool>,
}

/// What could not be had although the rest could.
type Trouble = Option<Failure>;

impl Query {
    fn message(&self) -> Section {
        let mut message = Section::default();
        for (key, value) in [("name", &self.pool), ("backend", &self.backend)] {
            if let Some(value) = value {
                message.put(key, value);
            }
        }
        message
    }

    fn lease_message(&self) -> Section {
        let mut message = self.message();
        if let Some(identity) = &self.identity {
            message.put("identity", identity);
        }
        if let Some(address) = self.address {
            message.put("address", address);
        }
        if let Some(online) = self.online {
            message.put("status", if online { "online" } else { "offline" });
        }
        message
    }

    /// The same conditions for a daemon that knows none of them.
    fn filter(&self) -> Result<LeaseFilter, Failure> {
        let mut filter = LeaseFilter::default();
        (filter.address, filter.online) = (self.address, self.online);
        if let Some(text) = &self.identity {
            filter
                .set_identity(text)
                .map_err(|error| Failure::new(FAILED, format_args!("identity '{text}': {error}")))?;
        }
        Ok(filter)
    }

    fn trouble(&self, answer: &Section) -> Trouble {
        (answer.text("success") == Some("no")).then(|| {
            let why = answer.text("errmsg").unwrap_or("the daemon gave no reason");
            let failure = Failure::new(FAILED, why);
            match &self.pool {
                Some(_) => failure.hint("'cygnet pools' shows all"),
                None => failure,
            }
        })
    }
}

/// Pools, without their leases.
pub(crate) fn pools(client: &mut Client, query: &Query) -> Result<(Vec<Pool>, Trouble), Failure> {
    let mut pools = Vec::new();
    let answer = client.request_streamed("list-pools", query.message(), "list-pool", |event| {
        pools.extend(event.children().map(|(name, section)| pool(name, section)));
    });
    match answer {
        Ok(answer) => Ok((pools, query.trouble(&answer))),
        Err(error) if is_unknown(&error) => {
            let mut pools = in_memory(client, query)?;
            pools.iter_mut().for_each(|pool| pool.leases.clear());
            Ok((pools, None))
        }
        Err(error) => Err(error.into()),
    }
}

/// Leases one by one, with pool and backend.
pub(crate) fn leases(
    client: &mut Client,
    query: &Query,
    mut each: impl FnMut(&str, &str, Lease),
) -> Result<Trouble, Failure> {
    let answer = client.request_streamed("list-leases", query.lease_message(), "list-lease", |event| {
        for (name, section) in event.children() {
            let backend = section.text("backend").unwrap_or_default();
            for (_, one) in section.child("leases").into_iter().flat_map(|all| all.children()) {
                each(name, backend, lease(one));
            }
        }
    });
    match answer {
        Ok(answer) => Ok(query.trouble(&answer)),
        Err(error) if is_unknown(&error) => {
            for pool in in_memory(client, query)? {
                for lease in pool.leases {
                    each(&pool.name, &pool.backend, lease);
                }
            }
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

/// Pools with those of their leases that fit.
pub(crate) fn everything(client: &mut Client, query: &Query) -> Result<(Vec<Pool>, Trouble), Failure> {
    let (mut pools, trouble) = pools(client, query)?;
    let mut at = 0;
    let missing = leases(client, query, |name, backend, lease| {
        let same = |pool: &Pool| pool.name == name && pool.backend == backend;
        // They come pool by pool, in the order of the pools.
        if !pools.get(at).is_some_and(same) {
            at = pools.iter().position(same).unwrap_or_else(|| {
                pools.push(Pool { name: name.to_owned(), backend: backend.to_owned(), ..Pool::default() });
                pools.len() - 1
            });
        }
        pools[at].leases.push(lease);
    })?;
    Ok((pools, trouble.or(missing)))
}

fn is_unknown(error: &ClientError) -> bool {
    matches!(error, ClientError::UnknownEvent(_) | ClientError::UnknownCommand(_))
}

/// What `get-pools` tells, which every daemon has.
fn in_memory(client: &mut Client, query: &Query) -> Result<Vec<Pool>, Failure> {
    let filter = query.filter()?;
    if query.backend.as_ref().is_some_and(|backend| backend != "vici") {
        return Err(Failure::new(FAILED, "this daemon tells only of its pools in memory (--backend vici)"));
    }
    let mut message = query.message();
    message.put_bool("leases", true);
    let answer = client.request("get-pools", message)?;
    if let Some(trouble) = query.trouble(&answer) {
        return Err(trouble);
    }
    let mut pools: Vec<Pool> = answer.children().map(|(name, section)| pool(name, section)).collect();
    if let (Some(name), true) = (&query.pool, pools.is_empty()) {
        return Err(
            Failure::new(FAILED, format_args!("pool '{name}' not found")).hint("'cygnet pools' shows all")
        );
    }
    for pool in &mut pools {
        "vici".clone_into(&mut pool.backend);
        pool.leases.retain(|lease| row(lease).is_none_or(|row| filter.fits(&row)));
    }
    Ok(pools)
}

fn row(lease: &Lease) -> Option<LeaseRow> {
    let address: IpAddr = lease.address.parse().ok()?;
    let whole = if address.is_ipv4() { 32 } else { 128 };
    Some(LeaseRow {
        address,
        prefix: lease.prefix.unwrap_or(whole),
        identity: Identity::parse(&lease.identity).ok()?,
        online: lease.online,
        since: lease.since,
        expires: lease.expires,
    })
}

fn pool(name: &str, section: &Section) -> Pool {
    let number = |key| section.number(key).unwrap_or(0);
    let (online, offline) = (number("online"), number("offline"));
    Pool {
        name: name.to_owned(),
        backend: section.text("backend").unwrap_or_default().to_owned(),
        base: section.text("base").unwrap_or_default().to_owned(),
        size: number("size"),
        online,
        offline,
        usage: online.saturating_add(offline),
        leases: section
            .child("leases")
            .into_iter()
            .flat_map(|all| all.children())
            .map(|(_, one)| lease(one))
            .collect(),
    }
}

pub(crate) fn lease(lease: &Section) -> Lease {
    Lease {
        address: lease.text("address").unwrap_or_default().to_owned(),
        prefix: lease.number("prefix"),
        identity: lease.text("identity").unwrap_or_default().to_owned(),
        online: lease.text("status") == Some("online"),
        since: lease.number("since"),
        expires: lease.number("expires"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read as _, Write as _};

    #[test]
    fn pools_and_leases_are_read() {
        let mut one = Section::default();
        one.put("address", "10.3.0.1").put("identity", "carol@example.org").put("status", "online");
        one.put("since", 1_000);
        let mut leases = Section::default();
        leases.put_section("0", one);
        let mut section = Section::default();
        section.put("base", "10.3.0.0").put("size", 254).put("online", 1).put("offline", 2);
        section.put("backend", "attr-sql").put_section("leases", leases);
        let read = pool("v4", &section);
        assert_eq!((read.backend.as_str(), read.size, read.usage), ("attr-sql", 254, 3));
        assert_eq!(
            (read.leases[0].online, read.leases[0].since, read.leases[0].expires),
            (true, Some(1_000), None)
        );
    }

    /// charon knows neither command nor event of ours: its pools in memory are filtered here.
    #[test]
    fn a_daemon_that_streams_no_leases_is_asked_for_all() {
        let (ours, mut theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        let daemon = std::thread::spawn(move || {
            let mut frames = vici::Frames::new();
            let mut buffer = [0; 4096];
            loop {
                while let Some(body) = frames.next_body().unwrap() {
                    let answer = match vici::Packet::decode(&body).unwrap() {
                        vici::Packet::EventRegister(_) => vici::Packet::EventUnknown,
                        vici::Packet::CmdRequest { name, message } => {
                            assert_eq!((name.as_str(), message.is_yes("leases")), ("get-pools", true));
                            vici::Packet::CmdResponse(charons())
                        }
                        other => panic!("{other:?}"),
                    };
                    theirs.write_all(&answer.encode().unwrap()).unwrap();
                }
                match theirs.read(&mut buffer).unwrap() {
                    0 => return,
                    count => frames.push(&buffer[..count]),
                }
            }
        });
        let mut client = Client::over_unix(ours, None);
        let query = Query { identity: Some("*@example.org".into()), ..Query::default() };
        let (found, trouble) = everything(&mut client, &query).unwrap();
        assert!(trouble.is_none());
        assert_eq!((found.len(), found[0].backend.as_str(), found[0].leases.len()), (1, "vici", 1));
        assert_eq!(found[0].leases[0].address, "10.3.0.1");
        let other = Query { backend: Some("attr-sql".into()), ..Query::default() };
        assert!(pools(&mut client, &other).unwrap_err().message().contains("only of its pools in memory"));
        drop(client);
        daemon.join().unwrap();
    }

    fn charons() -> Section {
        let mut leases = Section::default();
        for (number, identity) in ["carol@example.org", "dave"].into_iter().enumerate() {
            let mut one = Section::default();
            one.put("address", format_args!("10.3.0.{}", number + 1)).put("identity", identity);
            leases.put_section(&number.to_string(), one.put("status", "online").clone());
        }
        let mut pool = Section::default();
        pool.put("base", "10.3.0.0").put("size", 254).put("online", 2).put("offline", 0);
        pool.put_section("leases", leases);
        let mut answer = Section::default();
        answer.put_section("v4", pool);
        answer
    }
}
