-- The database itself. Specification: docs/store.md.
--
-- Conventions of every table: STRICT; random ids are BLOBs of 16 bytes; amounts are BLOBs of 16 bytes, big-endian,
-- so that they sort as numbers; times are whole seconds since 1970; counters that may use all 64 bits are BLOBs of
-- 8 bytes, big-endian.

CREATE TABLE store (
    one      INTEGER PRIMARY KEY CHECK (one = 1),
    -- Names this file; a restore gives it a new name, so that the copy and the original differ.
    instance BLOB    NOT NULL CHECK (length(instance) = 16),
    -- Counts the commits; the guard file beside the database holds the last one that was acknowledged.
    commits  INTEGER NOT NULL CHECK (commits >= 0),
    -- How often this database was restored from a copy.
    restores INTEGER NOT NULL CHECK (restores >= 0)
) STRICT;
