-- Records and user keys (symbolon-envelope). Specification: docs/store.md.

CREATE TABLE payloads (
    body     bytea PRIMARY KEY CHECK (octet_length(body) = 16),
    id       bytea UNIQUE CHECK (octet_length(id) = 16),
    unfinished_of bytea REFERENCES attachments (id) ON DELETE CASCADE,
    CHECK ((id IS NULL) <> (unfinished_of IS NULL))
);
COMMENT ON TABLE payloads IS 'The bodies of envelopes. Two uploads never meet in one body.';
COMMENT ON COLUMN payloads.id IS 'The name by which a record refers to it, once it is whole.';
COMMENT ON COLUMN payloads.unfinished_of IS 'Until then, and once no record refers to it: the process that still has to finish or to remove it.';
CREATE INDEX payloads_unfinished ON payloads (unfinished_of) WHERE unfinished_of IS NOT NULL;

CREATE TABLE payload_pieces (
    body   bytea   NOT NULL REFERENCES payloads (body) ON DELETE CASCADE,
    number integer NOT NULL CHECK (number >= 0),
    bytes  bytea   NOT NULL,
    PRIMARY KEY (body, number)
);
COMMENT ON TABLE payload_pieces IS 'Bodies in pieces of 64 KiB, the last one shorter.';
-- What is sealed does not compress.
ALTER TABLE payload_pieces ALTER COLUMN bytes SET STORAGE EXTERNAL;

CREATE TABLE required_server_keys (
    of      text   PRIMARY KEY CHECK (of IN ('records', 'user_keys')),
    version bigint NOT NULL CHECK (version BETWEEN 0 AND 4294967295)
);
COMMENT ON TABLE required_server_keys IS 'The oldest version of the private server key under which rows of a table are still taken; none: any.';

CREATE TABLE records (
    id             bytea  PRIMARY KEY CHECK (octet_length(id) = 16),
    owner          text   COLLATE "C" NOT NULL,
    sequence       bigint NOT NULL CHECK (sequence >= 0),
    server_key     bigint NOT NULL CHECK (server_key BETWEEN 0 AND 4294967295),
    header         bytea  NOT NULL,
    payload        bytea  NOT NULL UNIQUE REFERENCES payloads (id),
    payload_len    bigint NOT NULL CHECK (payload_len >= 0),
    payload_sha256 bytea  NOT NULL CHECK (octet_length(payload_sha256) = 32),
    stored         bigint NOT NULL
);
COMMENT ON TABLE records IS 'Envelopes: the header here, the body in payloads.';
COMMENT ON COLUMN records.server_key IS 'The version of the private server key that the header is wrapped under.';
CREATE INDEX records_by_owner ON records (owner, id);
CREATE INDEX records_by_server_key ON records (server_key, id);

CREATE TABLE grants (
    record  bytea NOT NULL REFERENCES records (id) ON DELETE CASCADE,
    user_id text  COLLATE "C" NOT NULL,
    PRIMARY KEY (record, user_id)
);
COMMENT ON TABLE grants IS 'Who, beside its owner, may have a record.';
CREATE INDEX grants_by_user ON grants (user_id, record);

CREATE TABLE user_keys (
    user_id    text     COLLATE "C" PRIMARY KEY,
    revision   bigint   NOT NULL CHECK (revision >= 0),
    epoch      bigint   NOT NULL CHECK (epoch >= 0),
    state      smallint NOT NULL CHECK (state IN (1, 2)),
    server_key bigint   NOT NULL CHECK (server_key BETWEEN 0 AND 4294967295),
    key_id     bytea    NOT NULL CHECK (octet_length(key_id) = 16),
    wrapped    bytea    NOT NULL,
    salt       bytea    CHECK (octet_length(salt) = 16),
    memory_kib bigint,
    passes     bigint,
    lanes      bigint,
    CHECK ((salt IS NULL) = (memory_kib IS NULL)),
    CHECK ((salt IS NULL) = (passes IS NULL)),
    CHECK ((salt IS NULL) = (lanes IS NULL))
);
COMMENT ON TABLE user_keys IS 'The shared keys of the users, each wrapped under the private server key.';
COMMENT ON COLUMN user_keys.state IS '1 active, 2 disabled.';
COMMENT ON COLUMN user_keys.salt IS 'Argon2id (C8), if the user makes the key from a passphrase.';
CREATE INDEX user_keys_by_server_key ON user_keys (server_key, user_id);
