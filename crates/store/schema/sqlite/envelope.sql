-- Records and user keys (symbolon-envelope). Specification: docs/store.md.

-- The bodies of envelopes: small ones here, large ones in files of the folder beside the database.
CREATE TABLE payloads (
    id    BLOB    PRIMARY KEY CHECK (length(id) = 16),
    bytes BLOB,
    -- The name of the file.
    file  BLOB    UNIQUE CHECK (length(file) = 16),
    CHECK ((bytes IS NULL) <> (file IS NULL))
) STRICT;

-- Files that no payload names: those of uploads that are not finished, and of payloads that are gone. A file is here
-- before it exists and until it is removed, so that none is ever forgotten; the next start removes what is left.
CREATE TABLE discarded_files (
    file BLOB PRIMARY KEY CHECK (length(file) = 16)
) STRICT, WITHOUT ROWID;

-- The oldest version of the private server key under which rows of a table are still taken; none: any.
CREATE TABLE required_server_keys (
    of      TEXT    PRIMARY KEY CHECK (of IN ('records', 'user_keys')),
    version INTEGER NOT NULL CHECK (version >= 0)
) STRICT, WITHOUT ROWID;

CREATE TABLE records (
    id             BLOB    PRIMARY KEY CHECK (length(id) = 16),
    owner          TEXT    NOT NULL,
    sequence       INTEGER NOT NULL CHECK (sequence >= 0),
    -- The version of the private server key that the header is wrapped under.
    server_key     INTEGER NOT NULL CHECK (server_key >= 0),
    header         BLOB    NOT NULL,
    payload        BLOB    NOT NULL UNIQUE REFERENCES payloads (id),
    payload_len    INTEGER NOT NULL CHECK (payload_len >= 0),
    payload_sha256 BLOB    NOT NULL CHECK (length(payload_sha256) = 32),
    stored         INTEGER NOT NULL
) STRICT;

CREATE INDEX records_by_owner ON records (owner, id);
CREATE INDEX records_by_server_key ON records (server_key, id);

-- Who, beside its owner, may have a record.
CREATE TABLE grants (
    record BLOB NOT NULL REFERENCES records (id) ON DELETE CASCADE,
    user   TEXT NOT NULL,
    PRIMARY KEY (record, user)
) STRICT, WITHOUT ROWID;

CREATE INDEX grants_by_user ON grants (user, record);

-- The users' shared keys, each wrapped under the private server key.
CREATE TABLE user_keys (
    user       TEXT    PRIMARY KEY,
    revision   INTEGER NOT NULL CHECK (revision >= 0),
    epoch      INTEGER NOT NULL CHECK (epoch >= 0),
    -- 1 active, 2 disabled.
    state      INTEGER NOT NULL CHECK (state IN (1, 2)),
    server_key INTEGER NOT NULL CHECK (server_key >= 0),
    key_id     BLOB    NOT NULL CHECK (length(key_id) = 16),
    wrapped    BLOB    NOT NULL,
    -- Argon2id (C8), if the user makes the key from a passphrase.
    salt       BLOB    CHECK (length(salt) = 16),
    memory_kib INTEGER,
    passes     INTEGER,
    lanes      INTEGER,
    CHECK ((salt IS NULL) = (memory_kib IS NULL)),
    CHECK ((salt IS NULL) = (passes IS NULL)),
    CHECK ((salt IS NULL) = (lanes IS NULL))
) STRICT;

CREATE INDEX user_keys_by_server_key ON user_keys (server_key, user);
