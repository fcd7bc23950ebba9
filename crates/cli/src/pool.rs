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
    /// Anything else.
    Failed(String),
}

impl From<sql::Error> for Trouble {
    fn from(error: sql::Error) -> Self {
        Self::Failed(error.to_string())
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
        Err(Trouble::Failed(message)) => {
            complain!("pool: {}", clean(&message));
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
        if order.json { put!("{}", answer.json()) } else { answer.show() }
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
        outcome
    })
}

fn init() -> Result<Answer, Trouble> {
    let uri = database()?;
    block_on(async {
        Admin::init(&uri).await?.close().await;
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
    let settings = source::settings();
    let file = source::settings_file();
    let places: [&[&str]; 3] = [
        &["pool", "database"],
        &["charon", "plugins", "attr-sql", "database"],
        &["charon-systemd", "plugins", "attr-sql", "database"],
    ];
    let found = places.iter().find_map(|path| Some((path.join("."), source::value_at(&settings, path)?)));
    let Some((key, text)) = found else {
        return Err(Trouble::Failed(format!(
            "no database: set pool.database or charon.plugins.attr-sql.database in {}, such as sqlite:///etc/ipsec.d/ipsec.db",
            file.display()
        )));
    };
    Uri::parse(&text).map_err(|error| Trouble::Failed(format!("{key} in {}: {error}", file.display())))
}

fn explain(uri: &Uri, error: sql::Error) -> Trouble {
    let missing = uri.kind() == Kind::Sqlite && uri.path().is_some_and(|path| !path.exists());
    if missing {
        return Trouble::Failed(format!("database {uri} is not there; 'pool --init' makes it"));
    }
    error.into()
}
