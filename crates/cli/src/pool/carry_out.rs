//! What the orders do to the database.
use super::answer::Answer;
use super::batch::Line;
use super::command::{Addresses, Command, For};
use super::filter::Filter;
use super::{Trouble, input};
use sql::Admin;
use sql::admin::{Attribute, LeaseFilter, NewPool, PoolRow};
use std::net::IpAddr;

/// Leases that are listed at most.
const LEASES: usize = 1 << 20;

/// One order as a transaction of its own.
pub(super) fn one(command: Command) -> impl AsyncFnOnce(&mut Admin) -> Result<Answer, Trouble> {
    async move |admin: &mut Admin| {
        let [answer] =
            atomically(admin, async |admin: &mut Admin| Ok([carry_out(admin, &command).await?])).await?;
        Ok(answer)
    }
}

/// All orders as one transaction.
pub(super) fn all(lines: Vec<Line>) -> impl AsyncFnOnce(&mut Admin) -> Result<Vec<Answer>, Trouble> {
    async move |admin: &mut Admin| {
        atomically(admin, async |admin: &mut Admin| {
            let mut answers = Vec::new();
            for line in &lines {
                let answer = carry_out(admin, &line.order.command).await.map_err(|trouble| {
                    Trouble::Failed(format!("line {}: {trouble}; nothing was changed", line.number))
                })?;
                answers.push(answer);
            }
            Ok(answers)
        })
        .await
    }
}

async fn atomically<T>(
    admin: &mut Admin,
    work: impl AsyncFnOnce(&mut Admin) -> Result<T, Trouble>,
) -> Result<T, Trouble> {
    admin.begin().await?;
    match work(admin).await {
        Ok(done) => {
            admin.commit().await?;
            Ok(done)
        }
        Err(trouble) => {
            // What failed is what the administrator must hear of.
            let _taken_back = admin.rollback().await;
            Err(trouble)
        }
    }
}

async fn carry_out(admin: &mut Admin, command: &Command) -> Result<Answer, Trouble> {
    match command {
        Command::Status => status(admin).await,
        Command::StatusAttributes { as_hex } => {
            Ok(Answer::Attributes { attributes: admin.attributes().await?, as_hex: *as_hex })
        }
        Command::Add { name, addresses, timeout, replace } => {
            add(admin, name, addresses, *timeout, *replace).await
        }
        Command::Delete(name) => delete(admin, name).await,
        Command::Resize { name, end } => resize(admin, name, *end).await,
        Command::Purge(name) => {
            let count = admin.purge(name).await?;
            Ok(Answer::done("purge", format!("{count} past leases of pool '{name}' deleted"), count))
        }
        Command::Fill(name) => {
            let count = admin.fill(name).await?;
            Ok(Answer::done("fill", format!("{count} rows made for addresses of pool '{name}'"), count))
        }
        Command::Leases { filter, utc } => leases(admin, filter, *utc).await,
        Command::AddAttribute(wanted) => add_attribute(admin, wanted).await,
        Command::DeleteAttribute(wanted) => delete_attribute(admin, wanted).await,
        Command::ShowAttributes => Ok(Answer::Keywords),
        Command::Help => Ok(Answer::Help),
        Command::Batch(_) | Command::Init => {
            Err(Trouble::Usage("this is not part of anything else".to_owned()))
        }
    }
}

async fn status(admin: &mut Admin) -> Result<Answer, Trouble> {
    let pools = admin.status().await?;
    let attributes = admin.attributes().await?;
    let servers = |kinds: [u16; 2]| -> Vec<IpAddr> {
        let everybody = |one: &&Attribute| one.pool.is_none() && one.identity.is_none();
        let of_kind = |kind: u16| {
            attributes
                .iter()
                .filter(everybody)
                .filter(move |one| u16::from(one.kind) == kind)
                .filter_map(|one| sql::value::address(&one.value).ok())
        };
        kinds.into_iter().flat_map(of_kind).collect()
    };
    Ok(Answer::Status { dns: servers([3, 10]), nbns: servers([4, 11]), pools })
}

async fn add(
    admin: &mut Admin,
    name: &str,
    addresses: &Addresses,
    timeout: u64,
    replace: bool,
) -> Result<Answer, Trouble> {
    let before = admin.status().await?;
    let old = before.iter().find(|pool| pool.name == name);
    if old.is_some() && !replace {
        return Err(Trouble::Failed(format!(
            "there is a pool '{name}' already: --resize moves its end, --replace puts the new one in its place"
        )));
    }
    let mut notes = Vec::new();
    if let Some(old) = old {
        in_use(old, &mut notes);
        admin.delete_pool(name).await?;
    }
    match addresses {
        Addresses::Range(start, end) => {
            let pool = NewPool { name: name.to_owned(), start: *start, end: *end, timeout };
            admin.add_pool(&pool).await?;
        }
        Addresses::File(file) => {
            let all = input::addresses(file).map_err(Trouble::Failed)?;
            admin.add_addresses(name, timeout, &all).await?;
        }
    }
    let pools = admin.status().await?;
    let new = pools.iter().find(|pool| pool.name == name);
    let size = new.map_or(0, |pool| pool.size);
    if let Some(new) = new {
        let overlaps = |pool: &&PoolRow| {
            pool.name != name
                && pool.start.is_ipv4() == new.start.is_ipv4()
                && pool.start <= new.end
                && new.start <= pool.end
        };
        for other in pools.iter().filter(overlaps) {
            notes.push(format!(
                "note: pool '{}' ({} to {}) has some of these addresses, too",
                other.name, other.start, other.end
            ));
        }
    }
    let (what, verb) = match (replace, old.is_some()) {
        (true, true) => ("replace", "replaced"),
        (true, false) => ("replace", "added (there was none of that name)"),
        (false, _) => ("add", "added"),
    };
    let message = format!("pool '{name}' {verb}: {}", addresses_of(size));
    Ok(Answer::done(what, message, u64::try_from(size).unwrap_or(u64::MAX)).with(notes))
}

async fn delete(admin: &mut Admin, name: &str) -> Result<Answer, Trouble> {
    let pools = admin.status().await?;
    let pool = find(&pools, name)?;
    let mut notes = Vec::new();
    in_use(pool, &mut notes);
    admin.delete_pool(name).await?;
    Ok(Answer::done("del", format!("pool '{name}' deleted"), 1).with(notes))
}

fn addresses_of(size: u128) -> String {
    if size == 1 { "1 address".to_owned() } else { format!("{size} addresses") }
}

/// Says what becomes of addresses in use.
fn in_use(pool: &PoolRow, notes: &mut Vec<String>) {
    if pool.online > 0 {
        notes.push(format!(
            "note: {} addresses of the old pool were in use; their clients keep them until they disconnect",
            pool.online
        ));
    }
}

async fn resize(admin: &mut Admin, name: &str, end: IpAddr) -> Result<Answer, Trouble> {
    let pools = admin.status().await?;
    let pool = find(&pools, name)?;
    if pool.size != sql::value::size(pool.start, pool.end) {
        return Err(Trouble::Failed(format!(
            "pool '{name}' was made of single addresses and has no end to move: use --replace {name} --addresses FILE"
        )));
    }
    admin.resize_pool(name, end).await?;
    let size = sql::value::size(pool.start, end);
    let count = u64::try_from(size).unwrap_or(u64::MAX);
    Ok(Answer::done("resize", format!("pool '{name}' ends at {end}: {}", addresses_of(size)), count))
}

fn find<'a>(pools: &'a [PoolRow], name: &str) -> Result<&'a PoolRow, Trouble> {
    pools.iter().find(|pool| pool.name == name).ok_or_else(|| {
        let names: Vec<String> = pools.iter().take(10).map(|pool| format!("'{}'", pool.name)).collect();
        let known = match pools.len() {
            0 => "the database has none".to_owned(),
            all if all > names.len() => format!("'pool --status' shows the {all} that there are"),
            _ => format!("the database has {}", names.join(", ")),
        };
        Trouble::Failed(format!("there is no pool '{name}'; {known}"))
    })
}

async fn leases(admin: &mut Admin, filter: &Filter, utc: bool) -> Result<Answer, Trouble> {
    if let Some(name) = &filter.pool {
        find(&admin.status().await?, name)?;
    }
    let filter = LeaseFilter {
        pool: filter.pool.clone(),
        identity: filter.identity.clone(),
        address: filter.address,
        state: filter.state,
        at: filter.at,
    };
    let leases = admin.leases(&filter, LEASES).await?;
    let notes = if leases.len() < LEASES {
        Vec::new()
    } else {
        vec![format!("note: only the first {LEASES} leases are shown, --filter narrows the list")]
    };
    Ok(Answer::Leases { leases, utc, notes })
}

async fn add_attribute(admin: &mut Admin, wanted: &For) -> Result<Answer, Trouble> {
    let mut added = 0;
    for kind in &wanted.attribute.kinds {
        for value in &wanted.attribute.values {
            let attribute = Attribute {
                kind: (*kind).into(),
                value: value.clone(),
                pool: wanted.pool.clone(),
                identity: wanted.identity.clone(),
            };
            added += u64::from(admin.add_attribute(&attribute).await?);
        }
    }
    let (name, whom) = (&wanted.attribute.name, wanted.whom());
    let mut notes = Vec::new();
    if let Some(pool) = &wanted.pool
        && !admin.status().await?.iter().any(|row| row.name == *pool)
    {
        notes.push(format!(
            "note: there is no pool '{pool}' in this database; the attribute is for a pool of that name wherever it is"
        ));
    }
    let message = match added {
        0 => format!("attribute {name}{whom} is there already"),
        _ => format!("attribute {name}{whom} added"),
    };
    Ok(Answer::done("addattr", message, added).with(notes))
}

async fn delete_attribute(admin: &mut Admin, wanted: &For) -> Result<Answer, Trouble> {
    let attribute = &wanted.attribute;
    let (pool, identity) = (wanted.pool.as_deref(), wanted.identity.as_ref());
    let mut deleted = 0;
    for kind in &attribute.kinds {
        if attribute.values.is_empty() {
            deleted += admin.delete_attributes((*kind).into(), None, pool, identity).await?;
        }
        for value in &attribute.values {
            deleted += admin.delete_attributes((*kind).into(), Some(value), pool, identity).await?;
        }
    }
    let (name, whom) = (&attribute.name, wanted.whom());
    if deleted == 0 {
        let value = if attribute.values.is_empty() { "" } else { " of this value" };
        return Err(Trouble::Failed(format!(
            "there is no attribute {name}{value}{whom}; 'pool --statusattr' shows all, those for a pool or an identity are deleted with --pool and --identity"
        )));
    }
    let message = match deleted {
        1 => format!("attribute {name}{whom} deleted"),
        many => format!("{many} attributes {name}{whom} deleted"),
    };
    Ok(Answer::done("delattr", message, deleted))
}
