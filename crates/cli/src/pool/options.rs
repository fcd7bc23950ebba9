//! The options of `pool`, and its help.
use crate::getopt::{Opt, flag, value};

/// The letter of an option that has none.
const NONE: char = '\0';

const fn with(long: &'static str) -> Opt {
    value(long, NONE, "")
}

const fn bare(long: &'static str) -> Opt {
    flag(long, NONE, "")
}

/// What is done; exactly one of them is given.
pub(super) const OPERATIONS: &[&str] = &[
    "help",
    "status",
    "showattr",
    "statusattr",
    "add",
    "replace",
    "del",
    "resize",
    "purge",
    "leases",
    "addattr",
    "delattr",
    "batch",
    "init",
    "fill",
];

/// Which options give the value of an attribute.
pub(super) const VALUES: &[&str] = &["addr", "mask", "server", "subnet", "string", "hex"];

pub(super) const OPTIONS: &[Opt] = &[
    flag("help", 'h', ""),
    bare("status"),
    bare("showattr"),
    bare("statusattr"),
    with("add"),
    with("replace"),
    with("del"),
    with("resize"),
    with("purge"),
    bare("leases"),
    with("addattr"),
    with("delattr"),
    with("batch"),
    bare("init"),
    with("fill"),
    with("start"),
    with("end"),
    with("addresses"),
    with("timeout"),
    with("filter"),
    bare("utc"),
    bare("hexout"),
    with("pool"),
    with("identity"),
    with("addr"),
    with("mask"),
    with("server"),
    with("subnet"),
    with("string"),
    with("hex"),
    bare("json"),
];

/// What each operation takes besides `--json`.
pub(super) fn takes(operation: &str) -> &'static [&'static str] {
    match operation {
        "statusattr" => &["hexout"],
        "add" | "replace" => &["start", "end", "addresses", "timeout"],
        "resize" => &["end"],
        "leases" => &["filter", "utc"],
        "addattr" | "delattr" => &["pool", "identity", "addr", "mask", "server", "subnet", "string", "hex"],
        _ => &[],
    }
}

/// `pool --help`.
pub(super) const HELP: &str = "\
Pools of virtual addresses and attributes in the database of attr-sql.

  pool --status
      Show all pools and how full they are, and the name servers for everybody.
  pool --add NAME --start ADDRESS --end ADDRESS [--timeout TIME]
  pool --replace NAME --start ADDRESS --end ADDRESS [--timeout TIME]
      Add a pool of all addresses from start to end; with --replace in place of the one of that name.
  pool --add NAME --addresses FILE [--timeout TIME]
  pool --replace NAME --addresses FILE [--timeout TIME]
      The same of single addresses, one a line up to the first empty one; ADDRESS=IDENTITY keeps it for somebody.
      FILE may be - for standard input. Such a pool cannot be resized.
      TIME: how long an address stays with who had it: a number of hours, or with s, m, h or d of that unit;
      0 (the default): forever.
  pool --del NAME
      Delete a pool, its addresses and the history of its leases.
  pool --resize NAME --end ADDRESS
      Move the end of a pool, up or down; what is in use behind a new end has to go first.
  pool --leases [NAME] [--filter FILTER] [--utc]
      Show who has, had or keeps which address. FILTER: any of these, apart by commas:
      pool=NAME, id=IDENTITY, addr=ADDRESS, status=online|valid|expired, tstamp=UNIX-TIME (in use at that time)
  pool --purge NAME
      Delete the history of a pool's leases.
  pool --addattr TYPE [--pool NAME [--identity IDENTITY]] VALUE
      Give an attribute to everybody, to the clients of a pool, or to one of them.
  pool --delattr TYPE [--pool NAME [--identity IDENTITY]] [VALUE]
      Delete it; without VALUE all of that type.
      TYPE: a keyword (see --showattr) or a number from 1 to 32767
      VALUE: --addr, --mask or --server ADDRESS; --subnet NET/MASK[,…]; --string TEXT; --hex DIGITS
  pool --showattr
      Show the keywords of attributes and what values they take.
  pool --statusattr [--hexout]
      Show all attributes; with --hexout all values in hex.
  pool --batch FILE
      Do what the lines of FILE (or of standard input: -) say, written as above without 'pool': all of it or nothing.

Not in strongSwan's pool:

  pool --init
      Make the tables (and the file of an SQLite database) that are not there.
  pool --fill NAME
      Make the rows of all addresses of a pool that was added here, which strongSwan needs to serve it.
  --json
      With any of these: one JSON document, schema cygnet.pool/1

The database is pool.database of strongswan.conf, else charon.plugins.attr-sql.database:
sqlite:///PATH, mysql://USER:PASSWORD@HOST/DATABASE or postgresql://USER:PASSWORD@HOST/DATABASE

Exit codes: 0 done, 1 failed (nothing was changed), 2 wrong use of the command line";
