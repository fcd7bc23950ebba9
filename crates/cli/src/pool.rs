//! strongSwan's `pool`: pools of virtual addresses and attributes in the database of attr-sql.
//!
//! Called as `pool` (through a link), as `cygnet pool`, or as `pool` of strongSwan's `ipsec` script. [`options`] has
//! the words, [`command`] makes an order of them, [`attributes`] and [`filter`] read values; [`carry_out`] asks the
//! database and gives an [`answer`], which is shown as text or JSON; [`batch`] reads many orders.
use crate::out::{clean, complain, put};
use crate::source;
use answer::Answer;
use command::Command;
use sql::{Admin, Kind, Uri};
use std::ffi::OsString;
use std::process::ExitCode;

mod answer;
mod attributes;
mod batch;
mod carry_out;
mod command;
mod filter;
mod input;
mod options;

/// The command line is wrong.
const MISUSED: u8 = 2;

/// Why nothing was done.
#[derive(Debug, PartialEq, Eq)]
enum Trouble {
    /// The command line, or a line of a batch, is wrong.
    Usage(String),
    /// What the database refused.
    Database(sql::Error),
    /// Anything else.
    Failed(String),
}

impl Trouble {
    fn explained(self, uri: &Uri) -> Self {
        match self {
            Self::Database(error) => explain(uri, error),
            other => other,
        }
    }
}

impl From<sql::Error> for Trouble {
    fn from(error: sql::Error) -> Self {
        Self::Database(error)
    }
}

impl std::fmt::Display for Trouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Usage(text) | Self::Failed(text) => f.write_str(text),
            Self::Database(error) => error.fmt(f),
        }
    }
}

/// Runs pool with these arguments (its name not among them).
pub(crate) fn main(words: Vec<OsString>) -> ExitCode {
    let words: Vec<String> = words.into_iter().map(|word| word.to_string_lossy().into_owned()).collect();
    match run(&words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Trouble::Usage(mistake)) => {
            complain!("pool: {}", clean(&mistake));
            complain!("  'pool --help' shows all options");
            ExitCode::from(MISUSED)
        }
        Err(trouble) => {
            complain!("pool: {}", clean(&trouble.to_string()));
            ExitCode::from(crate::exit::FAILED)
        }
    }
}

fn run(words: &[String]) -> Result<(), Trouble> {
    let order = command::read(words).map_err(Trouble::Usage)?;
    let answers = match order.command {
        Command::Help => vec![Answer::Help],
        Command::ShowAttributes => vec![Answer::Keywords],
        // The lines are read before the database is opened: most mistakes are in them.
        Command::Batch(file) => with_database(carry_out::all(batch::read(&file)?))?,
        Command::Init => vec![init()?],
        command => vec![with_database(carry_out::one(command))?],
    };
    for answer in answers {
        if order.json { put!("{:#}", answer.json()) } else { answer.show() }
    }
    Ok(())
}

/// Runs an order against the database.
fn with_database<T>(order: impl AsyncFnOnce(&mut Admin) -> Result<T, Trouble>) -> Result<T, Trouble> {
    let uri = database()?;
    block_on(async {
        let mut admin = Admin::open(&uri).await.map_err(|error| explain(&uri, error))?;
        let outcome = order(&mut admin).await;
        admin.close().await;
        outcome.map_err(|trouble| trouble.explained(&uri))
    })
}

fn init() -> Result<Answer, Trouble> {
    let uri = database()?;
    block_on(async {
        Admin::init(&uri).await.map_err(|error| explain(&uri, error))?.close().await;
        Ok(Answer::done("init", format!("{uri} has all tables"), 0))
    })
}

fn block_on<T>(work: impl Future<Output = Result<T, Trouble>>) -> Result<T, Trouble> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Trouble::Failed(error.to_string()))?;
    runtime.block_on(work)
}

/// Which database strongswan.conf names.
fn database() -> Result<Uri, Trouble> {
    let file = source::settings_file();
    let settings = match config::load(&config::Disk, &file) {
        Ok(loaded) => loaded.root,
        Err(error) => {
            return Err(Trouble::Failed(format!("{} cannot be read:\n{}", file.display(), error.render())));
        }
    };
    let places: [&[&str]; 3] = [
        &["pool", "database"],
        &["charon", "plugins", "attr-sql", "database"],
        &["charon-systemd", "plugins", "attr-sql", "database"],
    ];
    let named = |path: &&[&str]| source::value_at(&settings, path).filter(|text| !text.is_empty());
    let found = places.iter().find_map(|path| Some((path.join("."), named(path)?)));
    let Some((key, text)) = found else {
        return Err(Trouble::Failed(format!(
            "no database: set pool.database or charon.plugins.attr-sql.database in {}, such as sqlite:///etc/ipsec.d/ipsec.db",
            file.display()
        )));
    };
    Uri::parse(&text).map_err(|error| Trouble::Failed(format!("{key} in {}: {error}", file.display())))
}

/// The database's own words, and what would help.
fn explain(uri: &Uri, error: sql::Error) -> Trouble {
    let Some(path) = uri.path().filter(|_| uri.kind() == Kind::Sqlite) else {
        return Trouble::Failed(error.to_string());
    };
    if !path.exists() {
        return Trouble::Failed(format!("database {uri} is not there; 'pool --init' makes it"));
    }
    let text = error.to_string();
    if text.contains("readonly") || text.contains("unable to open") {
        return Trouble::Failed(format!(
            "{text}; whoever runs pool must be allowed to read and write the file and its directory"
        ));
    }
    Trouble::Failed(text)
}
