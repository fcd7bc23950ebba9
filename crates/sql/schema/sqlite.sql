-- The tables of strongSwan's `sql` and `attr-sql` plugins for SQLite:
--   sqlite3 /etc/cygnet/ipsec.db < sqlite.sql

CREATE TABLE identities (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  type INTEGER NOT NULL,                        -- as in ID payloads; 0: %any
  data BLOB NOT NULL,
  UNIQUE (type, data)
);

-- Connections: peer_configs has who, ike_configs where, child_configs what.

CREATE TABLE ike_configs (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  certreq INTEGER NOT NULL DEFAULT 1,
  force_encap INTEGER NOT NULL DEFAULT 0,
  local TEXT NOT NULL,
  remote TEXT NOT NULL
);

CREATE TABLE peer_configs (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  name TEXT NOT NULL,
  ike_version INTEGER NOT NULL DEFAULT 2,
  ike_cfg INTEGER NOT NULL,
  local_id INTEGER NOT NULL,
  remote_id INTEGER NOT NULL,
  cert_policy INTEGER NOT NULL DEFAULT 1,       -- 0 always, 1 if asked, 2 never
  uniqueid INTEGER NOT NULL DEFAULT 0,          -- 0 never, 1 no, 2 replace, 3 keep
  auth_method INTEGER NOT NULL DEFAULT 1,       -- 0 any, 1 public key, 2 pre-shared key, 3 EAP
  eap_type INTEGER NOT NULL DEFAULT 0,
  eap_vendor INTEGER NOT NULL DEFAULT 0,
  keyingtries INTEGER NOT NULL DEFAULT 3,
  rekeytime INTEGER NOT NULL DEFAULT 7200,
  reauthtime INTEGER NOT NULL DEFAULT 0,
  jitter INTEGER NOT NULL DEFAULT 180,
  overtime INTEGER NOT NULL DEFAULT 300,
  mobike INTEGER NOT NULL DEFAULT 1,
  dpd_delay INTEGER NOT NULL DEFAULT 120,
  virtual TEXT DEFAULT NULL,                    -- addresses to ask for
  pool TEXT DEFAULT NULL,                       -- pools to give addresses from
  mediation INTEGER NOT NULL DEFAULT 0,
  mediated_by INTEGER NOT NULL DEFAULT 0,
  peer_id INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX peer_configs_name ON peer_configs (name);

CREATE TABLE child_configs (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  name TEXT NOT NULL,
  lifetime INTEGER NOT NULL DEFAULT 1500,
  rekeytime INTEGER NOT NULL DEFAULT 1200,
  jitter INTEGER NOT NULL DEFAULT 60,
  updown TEXT DEFAULT NULL,
  hostaccess INTEGER NOT NULL DEFAULT 0,
  mode INTEGER NOT NULL DEFAULT 2,              -- 1 transport, 2 tunnel, 3 beet, 4 pass, 5 drop
  start_action INTEGER NOT NULL DEFAULT 0,      -- 0 none, 1 trap, 2 start, 3 both; so dpd_action and close_action
  dpd_action INTEGER NOT NULL DEFAULT 0,
  close_action INTEGER NOT NULL DEFAULT 0,
  ipcomp INTEGER NOT NULL DEFAULT 0,
  reqid INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX child_configs_name ON child_configs (name);

CREATE TABLE peer_config_child_config (
  peer_cfg INTEGER NOT NULL,
  child_cfg INTEGER NOT NULL,
  PRIMARY KEY (peer_cfg, child_cfg)
);

CREATE TABLE traffic_selectors (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  type INTEGER NOT NULL DEFAULT 7,              -- 7 IPv4, 8 IPv6
  protocol INTEGER NOT NULL DEFAULT 0,
  start_addr BLOB DEFAULT NULL,
  end_addr BLOB DEFAULT NULL,
  start_port INTEGER NOT NULL DEFAULT 0,
  end_port INTEGER NOT NULL DEFAULT 65535
);

CREATE TABLE child_config_traffic_selector (
  child_cfg INTEGER NOT NULL,
  traffic_selector INTEGER NOT NULL,
  kind INTEGER NOT NULL                         -- 0 ours, 1 the peer's, 2 ours and dynamic, 3 the peer's and dynamic
);
CREATE INDEX child_config_traffic_selector_child ON child_config_traffic_selector (child_cfg);

CREATE TABLE proposals (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  proposal TEXT NOT NULL
);

CREATE TABLE ike_config_proposal (
  ike_cfg INTEGER NOT NULL,
  prio INTEGER NOT NULL,                        -- the lowest first
  prop INTEGER NOT NULL
);

CREATE TABLE child_config_proposal (
  child_cfg INTEGER NOT NULL,
  prio INTEGER NOT NULL,
  prop INTEGER NOT NULL
);

-- Credentials, each with the identities it belongs to.

CREATE TABLE certificates (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  type INTEGER NOT NULL,                        -- 1 X.509, 2 CRL, 6 raw public key
  keytype INTEGER NOT NULL,
  data BLOB NOT NULL
);

CREATE TABLE certificate_identity (
  certificate INTEGER NOT NULL,
  identity INTEGER NOT NULL,
  PRIMARY KEY (certificate, identity)
);

CREATE TABLE private_keys (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  type INTEGER NOT NULL,
  data BLOB NOT NULL
);

CREATE TABLE private_key_identity (
  private_key INTEGER NOT NULL,
  identity INTEGER NOT NULL,
  PRIMARY KEY (private_key, identity)
);

CREATE TABLE shared_secrets (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  type INTEGER NOT NULL,                        -- 1 IKE, 2 EAP
  data BLOB NOT NULL
);

CREATE TABLE shared_secret_identity (
  shared_secret INTEGER NOT NULL,
  identity INTEGER NOT NULL,
  PRIMARY KEY (shared_secret, identity)
);

CREATE TABLE certificate_authorities (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  certificate INTEGER NOT NULL
);

CREATE TABLE certificate_distribution_points (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  ca INTEGER NOT NULL,
  type INTEGER NOT NULL,
  uri TEXT NOT NULL
);

-- Pools of virtual addresses.

CREATE TABLE pools (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  name TEXT NOT NULL UNIQUE,
  start BLOB NOT NULL,
  "end" BLOB NOT NULL,
  timeout INTEGER NOT NULL                      -- seconds until a free lease is for anybody; 0: at once
);

CREATE TABLE addresses (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  pool INTEGER NOT NULL,
  address BLOB NOT NULL,
  identity INTEGER NOT NULL DEFAULT 0,
  acquired INTEGER NOT NULL DEFAULT 0,
  released INTEGER NOT NULL DEFAULT 1
);

CREATE TABLE leases (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  address INTEGER NOT NULL,
  identity INTEGER NOT NULL,
  acquired INTEGER NOT NULL,
  released INTEGER NOT NULL
);

CREATE TABLE attribute_pools (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  name TEXT NOT NULL
);

CREATE TABLE attributes (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  identity INTEGER NOT NULL DEFAULT 0,
  pool INTEGER NOT NULL DEFAULT 0,
  type INTEGER NOT NULL,
  value BLOB NOT NULL
);
