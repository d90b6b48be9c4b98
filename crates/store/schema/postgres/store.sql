-- The database itself. Specification: docs/postgres.md.
--
-- Conventions of every table: random ids are bytea of 16 bytes; amounts are numeric(39,0), which hold 128 bits; times
-- are whole seconds since 1970 (bigint, as the protocols have them); ids of users sort by their bytes (COLLATE "C").
-- What only the database administers (liveness of processes) is timestamptz.

CREATE TABLE store (
    one        integer PRIMARY KEY CHECK (one = 1),
    version    integer NOT NULL,
    instance   bytea   NOT NULL CHECK (octet_length(instance) = 16),
    cluster    bigint  NOT NULL,
    database   bigint  NOT NULL,
    timeline   bigint  NOT NULL,
    restores   bigint  NOT NULL CHECK (restores >= 0)
);
COMMENT ON TABLE store IS 'One row: what this database is, and where it was when it was last in use.';
COMMENT ON COLUMN store.version IS 'Of the schema.';
COMMENT ON COLUMN store.instance IS 'Names this database; a restore gives it a new name.';
COMMENT ON COLUMN store.cluster IS 'system_identifier of the cluster: another one shows that this is a copy.';
COMMENT ON COLUMN store.database IS 'oid of the database: another one shows that this is a copy.';
COMMENT ON COLUMN store.timeline IS 'Of the write-ahead log: another one shows a failover or a recovery to a point in time.';
COMMENT ON COLUMN store.restores IS 'How often this database was restored from a copy.';

CREATE TABLE attachments (
    id      bytea       PRIMARY KEY CHECK (octet_length(id) = 16),
    commits bigint      NOT NULL CHECK (commits >= 0),
    seen    timestamptz NOT NULL
);
COMMENT ON TABLE attachments IS 'The processes that have the store attached.';
COMMENT ON COLUMN attachments.commits IS 'Commits of this process: fewer than it was told shows that commits were lost.';

CREATE TABLE processes (
    owner   bytea       PRIMARY KEY CHECK (octet_length(owner) = 16),
    address text        NOT NULL,
    seen    timestamptz NOT NULL
);
COMMENT ON TABLE processes IS 'Server processes and where they are reached, for relaying to the owner of a pad.';
COMMENT ON COLUMN processes.owner IS 'As in pads.lease_owner.';
