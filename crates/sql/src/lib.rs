//! Pools of virtual addresses in a database (SQLite, MySQL, MariaDB, PostgreSQL) in the schema that strongSwan's
//! `attr-sql` and its `pool` tool use, and the journal that lets pools in memory survive a restart.
